//! docs/architecture.md is true.

use std::{path::Path, process::Command};

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
fn paths_named_in_the_architecture_document_exist() {
    let words = ARCHITECTURE_MD.split(|c: char| c.is_whitespace() || "`(),;:".contains(c));
    let named = words.filter(|word| word.starts_with("src/") || word.starts_with("tests/"));
    for path in named.map(|word| word.trim_end_matches('.')) {
        let is_pattern = path.contains(['*', '…', '\'']);
        assert!(is_pattern || Path::new(ROOT).join(path).exists(), "{path}");
    }
}
