//! The pages for people, and the files that the pages load.

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

/// The policy of the pages: they may load their own files, and call this server.
///
/// The browser ensures that no text of a user becomes markup or a script. Inline scripts do not run, and code that
/// would turn a text into markup throws (Trusted Types).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The caching of a file at an address with its version, which never changes.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// The caching of a response that a browser must revalidate each time.
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
    let (is_current, path) = match versioned {
        Some((version, path)) => (version == assets::version(), path),
        None => (false, path.as_str()),
    };
    // Pages use addresses with versions. A developer who requests the file itself may want to read its comments.
    let file = StaticFile::find(path, versioned.is_some()).ok_or(Error::NotFound)?;
    let cache_control = if is_current {
        CACHE_FOREVER
    } else {
        ALWAYS_REVALIDATE
    };
    Ok(file.respond(&headers, cache_control))
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/", get(index).layer(compression()))
        .add("/playground", get(playground).layer(compression()))
        .add("/static/{*path}", get(static_file))
}

/// Compresses responses that are the same for all users.
///
/// A compressed response with secrets and with text of other users would reveal the secrets by its length (BREACH).
/// So responses of the API are not compressed.
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
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, ALWAYS_REVALIDATE),
        (header::CONTENT_LANGUAGE, lang),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    Ok((headers, language.cookie(base), Html(html)).into_response())
}
