//! The documents: their links resolve, and the book has all of them.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the documents: those in the root, and those in `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in [Path::new(ROOT).to_owned(), Path::new(ROOT).join("docs")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    documents
}

/// Returns the lines of a document that are not code.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    text.lines()
        .filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_fence && !is_code && !line.starts_with("    ")
        })
        .collect()
}

/// Returns the targets of the Markdown links of a document.
fn link_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // A code span may contain what looks like a link.
        let parts: Vec<&str> = line.split('`').collect();
        let line: String = parts.iter().step_by(2).copied().collect();
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or("");
            targets.push(target.split(' ').next().unwrap_or("").to_owned());
        }
    }
    targets
}

/// Returns the anchors of the headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c => c.is_alphanumeric().then_some(c),
            });
            kept.collect()
        })
        .collect()
}

#[test]
fn all_links_between_documents_resolve() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in link_targets(&text) {
            if target.starts_with("http") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (target.as_str(), None),
            };
            let path = match file {
                "" => document.clone(),
                // An address of the running server.
                file if file.starts_with('/') => continue,
                file => document.parent().unwrap().join(file),
            };
            let is_whole = path.exists()
                && anchor.is_none_or(|anchor| {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    anchors(&text).contains(anchor)
                });
            if !is_whole {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_book_has_all_pages() {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).unwrap();
    let listed: HashSet<_> = link_targets(&summary).into_iter().collect();
    for document in documents() {
        if document.parent().unwrap().ends_with("docs") {
            let name = document.file_name().unwrap().to_str().unwrap();
            assert!(
                name == "SUMMARY.md" || listed.contains(name),
                "docs/SUMMARY.md lacks {name}"
            );
        }
    }
    for page in listed {
        assert!(Path::new(ROOT).join("docs").join(&page).exists(), "{page}");
    }
}
