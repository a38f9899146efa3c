//! The documents: their links resolve, the book has all of them, and the page of log lines is complete.

use std::{
    collections::HashSet,
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Chars,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the documents: those in the root, those in `docs/`, and those in `docs/operations/`.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in ["", "docs", "docs/operations"].map(|folder| Path::new(ROOT).join(folder)) {
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
        // A code span may contain text that looks like a link.
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
    let book = Path::new(ROOT).join("docs");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).unwrap();
    let listed: HashSet<_> = link_targets(&summary).into_iter().collect();
    for document in documents() {
        if let Ok(name) = document.strip_prefix(&book) {
            let name = name.to_str().unwrap();
            assert!(
                name == "SUMMARY.md" || listed.contains(name),
                "docs/SUMMARY.md lacks {name}"
            );
        }
    }
    for page in listed {
        assert!(book.join(&page).exists(), "{page}");
    }
}

/// Returns the Rust files of a folder and of its folders.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns the phrase of each error and each warning that a source file logs.
fn logged_phrases(source: &str) -> Vec<String> {
    let macros = ["tracing::error!(", "tracing::warn!("];
    let calls = macros.iter().flat_map(|name| source.split(name).skip(1));
    calls.map(last_literal).collect()
}

/// Returns the last string literal of a macro call, which is its phrase. `call` begins after the opening parenthesis.
fn last_literal(call: &str) -> String {
    let mut chars = call.chars().peekable();
    let mut last = String::new();
    let mut depth = 1;
    while depth > 0 {
        match chars.next().expect("the call ends with a parenthesis") {
            '"' => last = read_literal(&mut chars),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    last
}

/// Reads a string literal up to its closing quote. A backslash at the end of a line joins it with the next line.
fn read_literal(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    loop {
        match chars.next().expect("the literal ends with a quote") {
            '"' => return text,
            '\\' if chars.next_if_eq(&'\n').is_some() => {
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
            }
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
}

#[test]
fn the_page_of_log_lines_has_every_error_and_warning() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/logs.md")).unwrap();
    let mut count = 0;
    let mut missing = Vec::new();
    for file in rust_files(&Path::new(ROOT).join("src")) {
        for phrase in logged_phrases(&fs::read_to_string(&file).unwrap()) {
            // A code span with a backtick in its text has two backticks at each end, and a space before the last two.
            let code_span = match phrase.contains('`') {
                true => format!("``{phrase} ``"),
                false => format!("`{phrase}`"),
            };
            if !page.contains(&code_span) {
                missing.push(format!("{}: {phrase}", file.display()));
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
    assert!(
        missing.is_empty(),
        "docs/logs.md lacks:\n{}",
        missing.join("\n")
    );
}
