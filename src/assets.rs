//! The files of assets/, which are in the binary. A debug build reads them from the disk each time, so an
//! edit takes effect at the next reload.
//!
//! The crates that serve embedded files (`axum-embed`, `tower-serve-static`) copy or compress a file for each
//! request. Here all responses share the bytes of one file, which [`crate::server`] does not count as memory of
//! a slow client.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Write,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::{
    Extension,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use mime::Mime;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// The files that pages load: style sheets, modules, images.
#[derive(RustEmbed)]
#[folder = "assets/static"]
struct StaticAssets;

/// The templates of the pages.
#[derive(RustEmbed)]
#[folder = "assets/views"]
struct ViewTemplates;

/// The texts of the pages, with a folder for each language.
#[derive(RustEmbed)]
#[folder = "assets/i18n"]
struct I18nFiles;

/// The smallest file that is sent compressed.
const MIN_GZIP_BYTES: usize = 1024;

/// A marker of responses whose bytes are shared with all other responses, so that they take no memory of
/// their own.
#[derive(Clone, Copy)]
pub struct SharedBytes;

/// A file that pages load. Clones share its bytes.
#[derive(Clone)]
pub struct StaticFile {
    bytes: Bytes,
    gzip: Option<Bytes>,
    content_type: String,
    /// A weak tag, because the file is sent compressed too.
    etag: String,
}

impl StaticFile {
    /// Returns the file of this path below assets/static, a script without its comments if `bare`. Only
    /// listed files are read, so that no path leads out of the folder.
    ///
    /// A release build prepares each file once.
    #[must_use]
    pub fn find(path: &str, bare: bool) -> Option<Self> {
        static PREPARED: LazyLock<Mutex<HashMap<(String, bool), StaticFile>>> =
            LazyLock::new(Mutex::default);
        let key = (path.to_owned(), bare);
        let prepared = || PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
        if !cfg!(debug_assertions)
            && let Some(file) = prepared().get(&key)
        {
            return Some(file.clone());
        }
        StaticAssets::iter().find(|name| name == path)?;
        let file = StaticAssets::get(path)?;
        let hash = file.metadata.sha256_hash();
        let script = str::from_utf8(&file.data).ok();
        let script = script.filter(|_| bare && path.ends_with(".js"));
        let bytes = match (script.map(strip_comments), file.data) {
            (Some(script), _) => script.into(),
            (None, Cow::Borrowed(bytes)) => Bytes::from_static(bytes),
            (None, Cow::Owned(bytes)) => bytes.into(),
        };
        let file = Self::new(path, bytes, &hash);
        if !cfg!(debug_assertions) {
            prepared().insert(key, file.clone());
        }
        Some(file)
    }

    /// Prepares a file. The extension of its name determines its type, and its content determines its version.
    #[must_use]
    pub fn from_bytes(name: &str, bytes: Bytes) -> Self {
        let hash = Sha256::digest(&bytes);
        Self::new(name, bytes, &hash)
    }

    fn new(name: &str, bytes: Bytes, hash: &[u8]) -> Self {
        let mime = mime_guess::from_path(name).first_or_octet_stream();
        // Other images are compressed already.
        let is_compressible = mime.type_() != mime::IMAGE || mime.subtype() == mime::SVG;
        let gzip = (is_compressible && bytes.len() >= MIN_GZIP_BYTES)
            .then(|| gzip(&bytes))
            .flatten();
        Self {
            etag: format!("W/\"{}\"", hex_digest(hash)),
            content_type: content_type(&mime),
            gzip,
            bytes,
        }
    }

    /// Returns the response to a request with these headers: the file, compressed if the client accepts gzip,
    /// or 304 if the client has this version.
    #[must_use]
    pub fn respond(&self, headers: &HeaderMap, cache_control: &'static str) -> Response {
        let common_headers = [
            (header::CACHE_CONTROL, cache_control),
            (header::ETAG, self.etag.as_str()),
            (header::VARY, header::ACCEPT_ENCODING.as_str()),
        ];
        if self.is_known_to_client(headers) {
            return (StatusCode::NOT_MODIFIED, common_headers).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type.as_str())];
        match self.gzip.as_ref().filter(|_| accepts_gzip(headers)) {
            Some(gzip) => {
                let encoding = [(header::CONTENT_ENCODING, "gzip")];
                let body = Body::from(gzip.clone());
                (
                    Extension(SharedBytes),
                    common_headers,
                    content_type,
                    encoding,
                    body,
                )
                    .into_response()
            }
            None => {
                let body = Body::from(self.bytes.clone());
                (Extension(SharedBytes), common_headers, content_type, body).into_response()
            }
        }
    }

    /// Returns whether `If-None-Match` names this version (RFC 9110, section 13.1.2), by the weak comparison.
    fn is_known_to_client(&self, headers: &HeaderMap) -> bool {
        header_values(headers, &header::IF_NONE_MATCH)
            .any(|tag| tag == "*" || opaque_tag(tag) == opaque_tag(&self.etag))
    }
}

/// Returns an entity tag without the mark of a weak one.
fn opaque_tag(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Compresses a file. Returns `None` if the result is not smaller.
fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < bytes.len()).then(|| compressed.into())
}

/// Returns whether a client accepts gzip (RFC 9110, section 12.5.3): by name or by `*`, with a quality above 0.
///
/// No crate in use parses `Accept-Encoding` for files that are compressed in advance.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut accepted = None;
    let mut any = None;
    for coding in header_values(headers, &header::ACCEPT_ENCODING) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|quality| quality.trim().parse::<f32>().ok());
        let is_accepted = quality.unwrap_or(1.0) > 0.0;
        match name.trim() {
            "gzip" | "x-gzip" => accepted = Some(is_accepted),
            "*" => any = Some(is_accepted),
            _ => {}
        }
    }
    accepted.or(any).unwrap_or(false)
}

/// Returns the members of a list in a header, over all of its lines.
fn header_values<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// Returns a script without the comments that have lines of their own, which are nearly half of the script.
/// Every line keeps its number, which no crate that minifies scripts does.
///
/// The function looks at each line alone. So no script may have a text of several lines: a test ensures this.
#[must_use]
pub fn strip_comments(script: &str) -> String {
    let mut is_in_comment = false;
    let bare = script.split_inclusive('\n').map(|line| {
        let text = line.trim();
        // Code may follow a comment that ends within its line.
        let begins = !is_in_comment
            && text.starts_with("/**")
            && (text.ends_with("*/") || !text.contains("*/"));
        let is_comment = is_in_comment || begins || text.starts_with("//");
        is_in_comment = (is_in_comment || begins) && !text.ends_with("*/");
        if is_comment { "\n" } else { line }
    });
    bare.collect()
}

/// Returns the version of the files that pages load. The version changes with each change of a file.
#[must_use]
pub fn version() -> String {
    static EMBEDDED_VERSION: LazyLock<String> = LazyLock::new(hash_static_files);
    if cfg!(debug_assertions) {
        hash_static_files()
    } else {
        EMBEDDED_VERSION.clone()
    }
}

/// Returns the paths of the scripts below assets/static, sorted.
#[must_use]
pub fn script_modules() -> Vec<Cow<'static, str>> {
    let mut modules: Vec<_> = StaticAssets::iter()
        .filter(|path| path.ends_with(".js"))
        .collect();
    modules.sort_unstable();
    modules
}

/// Returns the name and the source of each template.
#[must_use]
pub fn templates() -> Vec<(String, String)> {
    let names = ViewTemplates::iter().filter(|name| name.ends_with(".html"));
    let templates = names.filter_map(|name| {
        let source = ViewTemplates::get(&name)?;
        Some((name.into_owned(), to_text(source.data)))
    });
    templates.collect()
}

/// Returns the tags of the languages that have texts, sorted.
#[must_use]
pub fn languages() -> Vec<String> {
    let folders = I18nFiles::iter().filter_map(|path| Some(path.split_once('/')?.0.to_owned()));
    let mut tags: Vec<_> = folders.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Returns the source of a language's texts: of `page.ftl` or of `script.ftl`.
#[must_use]
pub fn translation_source(language: &str, file: &str) -> Option<String> {
    let source = I18nFiles::get(&format!("{language}/{file}"))?;
    Some(to_text(source.data))
}

fn hash_static_files() -> String {
    let mut paths: Vec<_> = StaticAssets::iter().collect();
    paths.sort_unstable();
    let mut hash = Sha256::new();
    for path in paths {
        let Some(file) = StaticAssets::get(&path) else {
            continue;
        };
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(file.metadata.sha256_hash());
    }
    hex_digest(&hash.finalize())
}

/// Returns the first 6 bytes of a hash as hex digits, enough to distinguish a few versions of some files.
fn hex_digest(hash: &[u8]) -> String {
    let bytes = hash.iter().take(6);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Converts bytes to a text. Invalid UTF-8 is replaced by visible marks, so that the fault shows.
fn to_text(bytes: Cow<'static, [u8]>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the value of `Content-Type` for a file, by its type.
fn content_type(mime: &Mime) -> String {
    if mime.type_() == mime::TEXT || mime.suffix() == Some(mime::XML) {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    }
}
