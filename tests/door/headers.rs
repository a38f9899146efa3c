//! What every answer carries, and nothing besides.

use insta::assert_snapshot;
use reqwest::{Method, header::HeaderMap};
use serde_json::json;

use crate::support::{Answer, TestApp};

/// Headers that tell of this answer alone.
const OWN: [&str; 8] = [
    "allow",
    "connection",
    "content-length",
    "content-type",
    "date",
    "sec-websocket-accept",
    "upgrade",
    "x-request-id",
];

fn shown(headers: &HeaderMap) -> String {
    let others = headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()));
    let lines = others.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn data_needs_nothing_and_is_kept_by_nobody() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let data = shown(&ann.get("/api/groups/").await.headers);
    assert_snapshot!(data, @"
    cache-control: no-store
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    cross-origin-opener-policy: same-origin
    cross-origin-resource-policy: same-origin
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    referrer-policy: same-origin
    x-content-type-options: nosniff
    x-frame-options: DENY
    ");
    for path in [
        format!("/api/groups/{group}/messages/"),
        "/api/nowhere/".to_owned(),
        "/_health".to_owned(),
        "/nowhere".to_owned(),
        "/ws/".to_owned(),
    ] {
        let answer = ann.get(&path).await;
        let told = shown(&answer.headers);
        assert_eq!(
            told.replace("sec-websocket-version: 13\n", ""),
            data,
            "{path}: {answer}"
        );
    }
    assert_eq!(shown(&ann.post("/swagger/", json!({})).await.headers), data);
    let too_large = vec![b'x'; 100_000];
    let answer = app
        .post_raw("/api/token/", "application/json", too_large)
        .await;
    assert_eq!(
        (answer.status.as_u16(), shown(&answer.headers)),
        (413, data)
    );
}

#[tokio::test]
async fn pages_say_what_they_need() {
    let app = TestApp::start().await;
    let policy = async |path: &str| {
        app.get(path)
            .await
            .header("content-security-policy")
            .to_owned()
    };
    assert_snapshot!(policy("/").await, @"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'");
    assert_eq!(policy("/playground/").await, policy("/").await);
    assert_snapshot!(policy("/api-docs/").await, @"default-src 'none'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    assert_snapshot!(policy("/swagger/").await, @"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    for page in ["/", "/playground/", "/swagger/", "/api-docs/"] {
        let html = app.get(page).await.body;
        for inline in ["<style", "style=", "<script>", "onclick=", "onload="] {
            assert!(!html.contains(inline), "{page} has {inline}");
        }
    }
    assert_snapshot!(shown(&app.get("/swagger/swagger-ui.css").await.headers), @r#"
    cache-control: public, max-age=3600
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    cross-origin-opener-policy: same-origin
    cross-origin-resource-policy: same-origin
    etag: W/"c3cfe8248c4b"
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    referrer-policy: same-origin
    vary: accept-encoding
    x-content-type-options: nosniff
    x-frame-options: DENY
    "#);
    // What is everybody's has these besides what all answers have.
    let file = app.get("/static/docs.css").await;
    let told = shown(&file.headers);
    assert_snapshot!(told.replace(file.header("etag"), "[tag]"), @"
    cache-control: no-cache
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    cross-origin-opener-policy: same-origin
    cross-origin-resource-policy: same-origin
    etag: [tag]
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    referrer-policy: same-origin
    vary: accept-encoding
    x-content-type-options: nosniff
    x-frame-options: DENY
    ");
    let page = app.get("/").await;
    let policy = page.header("content-security-policy");
    assert_snapshot!(shown(&page.headers).replace(policy, "[policy]"), @"
    cache-control: no-cache
    content-language: en
    content-security-policy: [policy]
    cross-origin-opener-policy: same-origin
    cross-origin-resource-policy: same-origin
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    referrer-policy: same-origin
    vary: Accept-Language, Cookie
    vary: accept-encoding
    x-content-type-options: nosniff
    x-frame-options: DENY
    ");
}

#[tokio::test]
async fn https_is_kept_to_once_it_is_there() {
    const NAME: &str = "strict-transport-security";
    let plain = TestApp::start().await;
    assert!(!plain.get("/").await.headers.contains_key(NAME));
    let through_proxy = plain
        .request(Method::GET, "/")
        .header("x-forwarded-proto", "https");
    assert_eq!(
        Answer::to(through_proxy).await.header(NAME),
        "max-age=31536000"
    );
    let public = TestApp::with(json!({"public_url": "https://salam.example"})).await;
    assert_eq!(public.get("/").await.header(NAME), "max-age=31536000");
}

/// A page of another origin may ask, and its browser keeps the answer from it.
#[tokio::test]
async fn other_origins_are_given_nothing() {
    let app = TestApp::start().await;
    for method in [Method::GET, Method::OPTIONS] {
        let asked = app
            .request(method, "/api/groups/")
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        let answer = Answer::to(asked).await;
        let allowed = answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control-"));
        assert!(!allowed, "{answer}");
    }
}
