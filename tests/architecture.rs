//! Checks docs/architecture.md against the code, and the excerpts in docs/extending.md against their files.

use std::{fs, path::Path, process::Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ARCHITECTURE_MD: &str = include_str!("../docs/architecture.md");

#[test]
fn architecture_invariants_hold() {
    let (_, block) = ARCHITECTURE_MD.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut count = 0;
    let mut rule = "";
    for line in block.lines() {
        if line.starts_with('#') {
            rule = line;
            continue;
        }
        let found = Command::new("sh")
            .args(["-c", line])
            .current_dir(ROOT)
            .output();
        let found = found.unwrap();
        let found_lines = String::from_utf8_lossy(&found.stdout).into_owned();
        let failed = String::from_utf8_lossy(&found.stderr).into_owned();
        assert!(
            found_lines.is_empty() && failed.is_empty(),
            "{rule}\n{line}\n{found_lines}{failed}"
        );
        count += 1;
    }
    assert!(count > 10, "there are some");
}

/// Every file and folder that the document names exists.
#[test]
fn paths_named_in_the_architecture_document_exist() {
    let names = ARCHITECTURE_MD.split(|c: char| c.is_whitespace() || "`(),;:".contains(c));
    let named = names.filter(|name| name.starts_with("src/") || name.starts_with("tests/"));
    for path in named.map(|name| name.trim_end_matches('.')) {
        let is_pattern = path.contains(['*', '…', '\'']);
        assert!(is_pattern || Path::new(ROOT).join(path).exists(), "{path}");
    }
}

/// Each excerpt is preceded by a line with a link to its file. A line with `…` stands for any lines.
#[test]
fn each_excerpt_occurs_in_its_file() {
    let documents = [
        include_str!("../docs/extending.md"),
        include_str!("../docs/tutorial.md"),
    ];
    let mut lines = documents.into_iter().flat_map(str::lines).map(str::trim);
    let mut before = "";
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line == "```rust" || line == "```yaml" {
            let excerpt: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let path = linked_file(before).unwrap_or_else(|| {
                panic!(
                    "no link to a file before this excerpt: {}",
                    excerpt.join("\n")
                )
            });
            let file = fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
            assert!(
                occurs(&excerpt, &file),
                "{path} lacks {}",
                excerpt.join("\n")
            );
            count += 1;
        } else if !line.is_empty() {
            before = line;
        }
    }
    assert!(count > 10, "there are some");
}

/// Returns the file of a line such as `[src/app.rs](../src/app.rs)`.
fn linked_file(line: &str) -> Option<&str> {
    let (text, target) = line.strip_prefix('[')?.split_once("](../")?;
    (target.strip_suffix(')') == Some(text)).then_some(text)
}

/// Returns whether a file has the lines of an excerpt, in order, however they are indented.
fn occurs(excerpt: &[&str], file: &str) -> bool {
    let lines: Vec<_> = file.lines().map(str::trim).collect();
    let mut rest = lines.as_slice();
    let mut parts = excerpt
        .split(|line| *line == "…")
        .filter(|part| !part.is_empty());
    parts.all(|part| {
        let found = rest.windows(part.len()).position(|window| window == part);
        if let Some(start) = found {
            rest = &rest[start + part.len()..];
        }
        found.is_some()
    })
}
