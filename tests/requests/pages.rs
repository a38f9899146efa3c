//! The pages: their languages, caching and compression.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use reqwest::{Method, Response, StatusCode};
use salam::assets;
use serde_json::json;
use url::Url;

use crate::{
    server::raw_status,
    support::{TestApp, TestResponse, with_timeout},
};

const PAGES: [&str; 2] = ["/", "/playground/"];

/// The most bytes that the first page may transfer.
const MAX_PAGE_BYTES: usize = 60 * 1024;

async fn get_with_headers(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = app.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    with_timeout("a response", request.send()).await.unwrap()
}

/// Returns the language of a page. All of the page must be in it.
async fn page_language(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> String {
    let response = get_with_headers(app, path, headers).await;
    assert_eq!(response.status(), 200);
    let language = header_text(&response, "content-language").to_owned();
    let html = response.text().await.unwrap();
    let direction = if language == "fa" { "rtl" } else { "ltr" };
    assert!(
        html.contains(&format!("<html lang=\"{language}\" dir=\"{direction}\"")),
        "{html}"
    );
    language
}

fn header_text<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Returns the versioned path of a file.
fn versioned_path(file: &str) -> String {
    format!("/static/v-{}/{file}", assets::version())
}

#[tokio::test]
async fn pages_use_the_requested_language() {
    let app = TestApp::start().await;
    for page in PAGES {
        let language = async |query: &str, headers: &[(&str, &str)]| {
            page_language(&app, &format!("{page}{query}"), headers).await
        };
        let persian = ("accept-language", "fa-IR,fa;q=0.9,en;q=0.5");
        assert_eq!(language("", &[]).await, "en");
        assert_eq!(language("", &[persian]).await, "fa");
        let both = [("accept-language", "de"), ("accept-language", "fa;q=0.1")];
        assert_eq!(language("", &both).await, "fa");
        // No supported language, and no valid header.
        for wish in ["de-DE,de", ";;=,", "*", "../../etc"] {
            assert_eq!(language("", &[("accept-language", wish)]).await, "en");
        }
        assert_eq!(language("", &[("cookie", "lang=en"), persian]).await, "en");
        assert_eq!(language("", &[("cookie", "a=b; lang=fa")]).await, "fa");
        assert_eq!(language("", &[("cookie", "lang=de"), persian]).await, "fa");
        let cookie = ("cookie", "lang=fa");
        assert_eq!(language("?lang=en", &[cookie, persian]).await, "en");
        assert_eq!(language("?lang=fa", &[]).await, "fa");
        for unknown in [
            "?lang=de",
            "?lang=",
            "?lang=%ff",
            "?lang",
            "?lang=en%00",
            "?lang=EN",
        ] {
            assert_eq!(language(unknown, &[cookie]).await, "fa", "{unknown}");
        }
    }
}

#[tokio::test]
async fn the_chosen_language_is_stored_in_a_cookie() {
    let app = TestApp::start().await;
    let cookie = async |app: &TestApp, path: &str, headers: &[(&str, &str)]| {
        let response = get_with_headers(app, path, headers).await;
        header_text(&response, "set-cookie").to_owned()
    };
    assert_snapshot!(cookie(&app, "/?lang=fa", &[]).await, @"lang=fa; SameSite=Lax; Path=/; Max-Age=31536000");
    assert_eq!(cookie(&app, "/", &[("cookie", "lang=fa")]).await, "");
    assert_eq!(cookie(&app, "/?lang=de", &[]).await, "");
    let by_https = [("x-forwarded-proto", "https")];
    assert_snapshot!(cookie(&app, "/playground/?lang=en", &by_https).await, @"lang=en; SameSite=Lax; Secure; Path=/; Max-Age=31536000");
    let public = TestApp::with_settings(json!({"public_url": "https://salam.example"})).await;
    let set_cookie = cookie(&public, "/?lang=en", &[("host", "localhost")]).await;
    assert!(
        set_cookie.ends_with("; Secure") || set_cookie.contains("; Secure;"),
        "{set_cookie}"
    );
}

#[tokio::test]
async fn versioned_files_are_cached_forever() {
    let app = TestApp::start().await;
    let now = app.get(&versioned_path("app.css")).await;
    assert_eq!(now.status, 200);
    assert_eq!(now.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(
        now.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    // A page from before an update gets the old version of a file, or the current file.
    for path in [
        "/static/v-0123456789ab/app.css",
        "/static/v-/app.css",
        "/static/app.css",
    ] {
        let other = app.get(path).await;
        assert_eq!(other.header("cache-control"), "no-cache", "{path}");
        assert_eq!(other.body, now.body);
        assert_eq!(other.header("etag"), now.header("etag"));
    }
    let tag = now.header("etag");
    for (known, status) in [
        (tag.to_owned(), 304),
        (format!("\"other\", {tag}"), 304),
        ("W/\"other\"".to_owned(), 200),
    ] {
        for path in [versioned_path("app.css"), "/static/app.css".to_owned()] {
            let response = get_with_headers(&app, &path, &[("if-none-match", &known)]).await;
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(header_text(&response, "etag"), tag);
            let keep = header_text(&response, "cache-control").to_owned();
            assert_eq!(keep.contains("immutable"), path.contains("/v-"), "{keep}");
            assert_eq!(response.bytes().await.unwrap().is_empty(), status == 304);
        }
    }
}

/// Pages get scripts without comments, with the same line numbers. Other clients get the full files.
#[tokio::test]
async fn versioned_scripts_are_served_without_comments() {
    let app = TestApp::start().await;
    for module in assets::script_modules() {
        let whole = app.get(&format!("/static/{module}")).await.body;
        let bare = app.get(&versioned_path(&module)).await.body;
        let lines: Vec<_> = whole.lines().zip(bare.lines()).collect();
        assert_eq!(lines.len(), whole.lines().count(), "{module}");
        for (line, left) in lines {
            let text = line.trim();
            let is_comment = ["/**", "*", "//"]
                .iter()
                .any(|sign| text.starts_with(sign) && !text.contains("*/ ("));
            assert_eq!(left, if is_comment { "" } else { line }, "{module}");
        }
        assert!(whole.contains("/**") || whole.contains("//"), "{module}");
        // A line of a text that looks like a comment would be removed.
        for line in bare.lines() {
            let has_open_template = line.matches('`').count() % 2 == 1;
            assert!(
                !has_open_template && !line.ends_with('\\'),
                "{module}: {line}"
            );
        }
    }
}

#[tokio::test]
async fn static_files_have_their_content_type() {
    let app = TestApp::start().await;
    for module in assets::script_modules() {
        let response = app.get(&versioned_path(&module)).await;
        assert_eq!(
            response.header("content-type"),
            "text/javascript; charset=utf-8",
            "{module}"
        );
    }
    let icon = app.get(&versioned_path("icon.svg")).await;
    assert_eq!(icon.header("content-type"), "image/svg+xml; charset=utf-8");
    for nothing in [
        "/static/nothing.js",
        "/static/v-0/nothing.js",
        "/static/",
        "/static/v-0",
    ] {
        let response = app.get(nothing).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{nothing}");
        response.expect_client_error();
    }
}

#[tokio::test]
async fn static_paths_cannot_escape_the_folder() {
    let app = TestApp::start().await;
    for path in [
        "../views/index.html",
        "..%2fviews%2findex.html",
        "%2e%2e/views/index.html",
        "%2e%2e%2fviews%2findex.html",
        "..%5cviews%5cindex.html",
        "v-0/../../views/index.html",
        "v-0/..%2f..%2fviews%2findex.html",
        "v-..%2f..%2fviews/index.html",
        "./app.css",
        "%2fetc%2fpasswd",
        "v-0//etc/passwd",
        "v-0/%2fetc%2fpasswd",
        "app.css%00.js",
        "app.css%2f..%2fapp.css",
    ] {
        let target = format!("/static/{path}");
        let status = raw_status(app.address, &target, "host: localhost\r\n").await;
        assert_eq!(status, 404, "{path}");
    }
    let status = raw_status(app.address, "/static/%ff", "host: localhost\r\n").await;
    assert_eq!(status, 400);
    let status = raw_status(app.address, "/static/app%2ecss", "host: localhost\r\n").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn only_public_responses_are_compressed() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let gzip = ("accept-encoding", "gzip, deflate, br, zstd");
    for path in [
        "/".to_owned(),
        "/playground/".to_owned(),
        versioned_path("docs.css"),
    ] {
        let response = get_with_headers(&app, &path, &[gzip]).await;
        assert_eq!(header_text(&response, "content-encoding"), "gzip", "{path}");
        let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert!(
            vary.iter().any(|names| *names == "accept-encoding"),
            "{path}: {vary:?}"
        );
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes[..2], [0x1f, 0x8b], "{path}");
        for other in [
            &[][..],
            &[("accept-encoding", "br")],
            &[("accept-encoding", "gzip;q=0")],
        ] {
            let plain = get_with_headers(&app, &path, other).await;
            assert_eq!(header_text(&plain, "content-encoding"), "", "{path}");
            assert!(plain.text().await.unwrap().len() > bytes.len(), "{path}");
        }
    }
    let bearer = format!("Bearer {}", ann.access);
    ann.start_chat().await;
    for path in ["/api/groups/", "/api/me/", "/api-docs/"] {
        let response = get_with_headers(&app, path, &[gzip, ("authorization", &bearer)]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header_text(&response, "content-encoding"), "", "{path}");
    }
}

/// Returns the paths on this server that a page refers to.
fn linked_paths(html: &str) -> BTreeSet<String> {
    let named = ["href=\"/", "src=\"/"].iter().flat_map(|begin| {
        html.split(*begin)
            .skip(1)
            .map(|rest| format!("/{}", rest.split('"').next().unwrap()))
    });
    named.collect()
}

#[tokio::test]
async fn pages_link_only_to_existing_paths() {
    let app = TestApp::start().await;
    for page in PAGES {
        let response = app.get(page).await;
        assert_eq!(response.header("content-type"), "text/html; charset=utf-8");
        let named = linked_paths(&response.body);
        assert!(
            named.iter().any(|path| path.starts_with("/static/v-")),
            "{named:?}"
        );
        for path in named {
            let found: TestResponse = app.get(&path).await;
            assert_eq!(found.status, 200, "{path}");
            // Without a version in the path, the browser would check the file each time.
            let is_kept = !path.starts_with("/static/")
                || found.header("cache-control").ends_with("immutable");
            assert!(is_kept, "{path}");
        }
        let own = response.body.replace("http://www.w3.org/", "");
        assert!(
            !own.contains("//"),
            "nothing is loaded from elsewhere: {own}"
        );
    }
}

/// Returns the files that a page loads: the files that it names, and the imports of their scripts.
async fn loaded_files(app: &TestApp, page: &str) -> BTreeSet<String> {
    let html = app.get(page).await.body;
    let mut to_do: Vec<String> = linked_paths(&html)
        .into_iter()
        .filter(|path| path.starts_with("/static/"))
        .collect();
    let mut loaded = BTreeSet::new();
    while let Some(path) = to_do.pop() {
        if path.ends_with(".js") && !loaded.contains(&path) {
            let script = app.get(&path).await.body;
            let here = Url::parse(&app.url(&path)).unwrap();
            let imports = script.split("from '.").skip(1);
            to_do.extend(imports.map(|rest| {
                let (module, _) = rest.split_once('\'').unwrap();
                here.join(&format!(".{module}")).unwrap().path().to_owned()
            }));
        }
        loaded.insert(path);
    }
    loaded
}

/// Without preloading, the browser would find an import only after it has loaded the importing script.
#[tokio::test]
async fn pages_preload_all_their_files() {
    let app = TestApp::start().await;
    for page in PAGES {
        let named = linked_paths(&app.get(page).await.body);
        let loaded = loaded_files(&app, page).await;
        let unnamed: Vec<_> = loaded.difference(&named).collect();
        assert!(unnamed.is_empty(), "{page} does not name {unnamed:?}");
    }
}

#[tokio::test]
async fn the_start_page_is_small() {
    let app = TestApp::start().await;
    let mut paths = loaded_files(&app, "/").await;
    paths.insert("/".to_owned());
    let mut sizes = Vec::new();
    for path in paths {
        let response = get_with_headers(&app, &path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(response.status(), 200, "{path}");
        sizes.push((response.bytes().await.unwrap().len(), path));
    }
    let total: usize = sizes.iter().map(|(size, _)| size).sum();
    assert!(total < MAX_PAGE_BYTES, "{total} bytes: {sizes:#?}");
}
