//! docs/architecture.md is true.

use std::{path::Path, process::Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOCUMENT: &str = include_str!("../docs/architecture.md");

#[test]
fn what_it_says_never_happens_does_not() {
    let (_, block) = DOCUMENT.split_once("```sh\n").unwrap();
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
        let told = String::from_utf8_lossy(&found.stdout).into_owned();
        let failed = String::from_utf8_lossy(&found.stderr).into_owned();
        assert!(
            told.is_empty() && failed.is_empty(),
            "{rule}\n{line}\n{told}{failed}"
        );
        count += 1;
    }
    assert!(count > 10, "there are some");
}

/// Each `path/of/a/file.rs` and each folder that it names.
#[test]
fn what_it_names_is_there() {
    let words = DOCUMENT.split(|c: char| c.is_whitespace() || "`(),;:".contains(c));
    let named = words.filter(|word| word.starts_with("src/") || word.starts_with("tests/"));
    for path in named.map(|word| word.trim_end_matches('.')) {
        let is_pattern = path.contains(['*', '…', '\'']);
        assert!(is_pattern || Path::new(ROOT).join(path).exists(), "{path}");
    }
}
