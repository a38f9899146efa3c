//! Every test that docs/security.md names exists.

use std::{fs, path::Path};

const SECURITY_MD: &str = include_str!("../docs/security.md");

#[test]
fn every_test_that_the_security_notes_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests"] {
        read_rust_files(&root.join(folder), &mut code);
    }
    let rows = SECURITY_MD
        .lines()
        .filter(|line| line.starts_with('|') && line.contains("` |"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [_, _, shown_by] = cells[..] else {
            continue;
        };
        for name in shown_by.split('`').skip(1).step_by(2) {
            let is_there = if name.starts_with("tests/") || name.starts_with("bin/") {
                root.join(name).is_file()
            } else {
                code.contains(&format!("fn {name}("))
            };
            assert!(is_there, "docs/security.md names `{name}`");
            count += 1;
        }
    }
    assert!(count > 100, "only {count} are named");
}

fn read_rust_files(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_rust_files(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *code += &fs::read_to_string(&path).unwrap();
        }
    }
}
