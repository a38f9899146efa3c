//! The pages that people use, and the files that these load.

use axum::{
    extract::Path,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use loco_rs::{
    controller::{
        Routes,
        views::{ViewEngine, ViewRenderer},
    },
    prelude::get,
};
use tower_http::compression::CompressionLayer;

use super::extractors::{Language, PublicBase};
use crate::{
    assets::{self, StaticFile},
    errors::{Error, Result},
    views::pages::{INDEX, PLAYGROUND, PageData, PageEngine},
};

/// What the pages may do: load their own files, and ask this server. No text of anybody can become
/// markup or a script, by the browser's own word: what is inline does not run, and whatever would make
/// markup of a text throws (Trusted Types).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Under an address that names its version a file never changes.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// May be kept, if it is asked each time whether it has changed.
const ALWAYS_REVALIDATE: &str = "no-cache";

/// The chat page.
pub async fn index(
    ViewEngine(pages): ViewEngine<PageEngine>,
    language: Language,
    base: PublicBase,
) -> Result<Response> {
    render_page(&pages, INDEX, &language, &base)
}

/// The page to try the API and the sockets by hand.
pub async fn playground(
    ViewEngine(pages): ViewEngine<PageEngine>,
    language: Language,
    base: PublicBase,
) -> Result<Response> {
    render_page(&pages, PLAYGROUND, &language, &base)
}

/// A file that pages load, at `v-<version>/<path>` or at `<path>`.
///
/// A page that is still open may request an older version. It gets the current file.
pub async fn static_file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response> {
    let versioned = path
        .strip_prefix("v-")
        .and_then(|path| path.split_once('/'));
    let (is_present, path) = match versioned {
        Some((version, path)) => (version == assets::version(), path),
        None => (false, path.as_str()),
    };
    // Pages name versions. A developer who asks for the file itself may want to read its comments.
    let file = StaticFile::find(path, versioned.is_some()).ok_or(Error::NotFound)?;
    let keep = if is_present {
        CACHE_FOREVER
    } else {
        ALWAYS_REVALIDATE
    };
    Ok(file.respond(&headers, keep))
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/", get(index).layer(compression()))
        .add("/playground", get(playground).layer(compression()))
        .add("/static/{*path}", get(static_file))
}

/// Compresses what is the same for everybody. Never what has secrets in it beside something that others
/// may have a say in: its length would tell them (BREACH). So answers of the API are sent as they are.
fn compression() -> CompressionLayer {
    CompressionLayer::new().no_br().no_deflate().no_zstd()
}

fn render_page(
    pages: &PageEngine,
    name: &str,
    language: &Language,
    base: &PublicBase,
) -> Result<Response> {
    let lang = language.tag();
    let html = pages.render(name, PageData { lang })?;
    let about = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, ALWAYS_REVALIDATE),
        (header::CONTENT_LANGUAGE, lang),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    Ok((about, language.cookie(base), Html(html)).into_response())
}
