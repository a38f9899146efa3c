//! The files of assets/, which are in the binary. A debug build reads them from the disk, each time
//! anew: an edit is seen at the next reload.

use std::{borrow::Cow, sync::LazyLock};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// What pages load: style sheets, modules, images.
#[derive(RustEmbed)]
#[folder = "assets/static"]
struct Static;

#[derive(RustEmbed)]
#[folder = "assets/views"]
struct Views;

/// A folder for each language.
#[derive(RustEmbed)]
#[folder = "assets/i18n"]
struct I18n;

/// A file that pages load.
pub struct StaticFile {
    pub bytes: Cow<'static, [u8]>,
    pub content_type: &'static str,
    /// Weak, as the file goes out compressed too.
    pub etag: String,
}

impl StaticFile {
    /// The file of this path below assets/static. Only what is listed is read, so that no path leads
    /// out of there, however it is written.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        Static::iter().find(|listed| listed == path)?;
        let file = Static::get(path)?;
        Some(Self {
            etag: format!("W/\"{}\"", digits(&file.metadata.sha256_hash())),
            content_type: content_type(path),
            bytes: file.data,
        })
    }
}

/// A script without the comments that have lines of their own, nearly half of it: those who read it find
/// them in the file itself. Every line keeps its number.
#[must_use]
pub fn without_comments(script: &str) -> String {
    let mut is_within = false;
    let bare = script.split_inclusive('\n').map(|line| {
        let words = line.trim();
        // After one that ends within its line there may be code.
        let begins = !is_within
            && words.starts_with("/**")
            && (words.ends_with("*/") || !words.contains("*/"));
        let is_comment = is_within || begins || words.starts_with("//");
        is_within = (is_within || begins) && !words.ends_with("*/");
        if is_comment { "\n" } else { line }
    });
    bare.collect()
}

/// What changes whenever one of the files does that pages load.
#[must_use]
pub fn version() -> String {
    static OF_THE_BINARY: LazyLock<String> = LazyLock::new(hash_all);
    if cfg!(debug_assertions) {
        hash_all()
    } else {
        OF_THE_BINARY.clone()
    }
}

/// The scripts below assets/static, by name.
#[must_use]
pub fn modules() -> Vec<Cow<'static, str>> {
    let mut modules: Vec<_> = Static::iter()
        .filter(|path| path.ends_with(".js"))
        .collect();
    modules.sort_unstable();
    modules
}

/// The name and the source of each template.
#[must_use]
pub fn templates() -> Vec<(String, String)> {
    let named = Views::iter().filter(|name| name.ends_with(".html"));
    let templates = named.filter_map(|name| {
        let source = Views::get(&name)?;
        Some((name.into_owned(), text(source.data)))
    });
    templates.collect()
}

/// The tags of the languages that there are texts in, by name.
#[must_use]
pub fn languages() -> Vec<String> {
    let folders = I18n::iter().filter_map(|path| Some(path.split_once('/')?.0.to_owned()));
    let mut tags: Vec<_> = folders.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The source of a language's texts, of `page.ftl` or `script.ftl`.
#[must_use]
pub fn texts(language: &str, file: &str) -> Option<String> {
    let source = I18n::get(&format!("{language}/{file}"))?;
    Some(text(source.data))
}

fn hash_all() -> String {
    let mut paths: Vec<_> = Static::iter().collect();
    paths.sort_unstable();
    let mut hash = Sha256::new();
    for path in paths {
        let Some(file) = Static::get(&path) else {
            continue;
        };
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(file.metadata.sha256_hash());
    }
    digits(&hash.finalize())
}

/// As much of a hash as tells a few versions of some files apart.
fn digits(hash: &[u8]) -> String {
    let bytes = hash.iter().take(6);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// What is no UTF-8 was no text: it is shown as what it is not, rather than hidden.
fn text(bytes: Cow<'static, [u8]>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
