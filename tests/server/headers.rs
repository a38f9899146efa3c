//! The headers of all responses.

use insta::assert_snapshot;
use reqwest::{Method, header::HeaderMap};
use serde_json::json;

use crate::support::{GroupPath, TestApp, TestResponse};

/// Headers that depend on the response.
const RESPONSE_SPECIFIC_HEADERS: [&str; 9] = [
    "allow",
    "connection",
    "content-length",
    "content-type",
    "date",
    "sec-websocket-accept",
    "upgrade",
    "traceparent",
    "x-request-id",
];

fn common_headers(headers: &HeaderMap) -> String {
    let others = headers
        .iter()
        .filter(|(name, _)| !RESPONSE_SPECIFIC_HEADERS.contains(&name.as_str()));
    let lines = others.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn api_responses_have_a_strict_policy_and_are_not_cached() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let data = common_headers(&ann.get("/api/groups/").await.headers);
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
        group.path("messages/"),
        "/api/nowhere/".to_owned(),
        "/_health".to_owned(),
        "/nowhere".to_owned(),
        "/ws/".to_owned(),
    ] {
        let response = ann.get(&path).await;
        let header_lines = common_headers(&response.headers);
        assert_eq!(
            header_lines.replace("sec-websocket-version: 13\n", ""),
            data,
            "{path}: {response}"
        );
    }
    assert_eq!(
        common_headers(&ann.post("/swagger/", json!({})).await.headers),
        data
    );
    let too_large = vec![b'x'; 100_000];
    let response = app
        .post_raw("/api/token/", "application/json", too_large)
        .await;
    assert_eq!(
        (response.status.as_u16(), common_headers(&response.headers)),
        (413, data)
    );
}

#[tokio::test]
async fn pages_have_a_content_security_policy() {
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
    assert_snapshot!(common_headers(&app.get("/swagger/swagger-ui.css").await.headers), @r#"
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
    // Public files have these headers in addition to the common ones.
    let file = app.get("/static/docs.css").await;
    let header_lines = common_headers(&file.headers);
    assert_snapshot!(header_lines.replace(file.header("etag"), "[tag]"), @"
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
    assert_snapshot!(common_headers(&page.headers).replace(policy, "[policy]"), @"
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
async fn https_responses_have_hsts() {
    const HSTS_HEADER: &str = "strict-transport-security";
    let plain = TestApp::start().await;
    assert!(!plain.get("/").await.headers.contains_key(HSTS_HEADER));
    let through_proxy = plain
        .request(Method::GET, "/")
        .header("x-forwarded-proto", "https");
    assert_eq!(
        TestResponse::from_request(through_proxy)
            .await
            .header(HSTS_HEADER),
        "max-age=31536000"
    );
    let public = TestApp::with_settings(json!({"public_url": "https://salam.example"})).await;
    assert_eq!(
        public.get("/").await.header(HSTS_HEADER),
        "max-age=31536000"
    );
}

/// A page of another origin may send a request, and its browser hides the response.
#[tokio::test]
async fn no_cors_headers_are_sent() {
    let app = TestApp::start().await;
    for method in [Method::GET, Method::OPTIONS] {
        let preflight = app
            .request(method, "/api/groups/")
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        let response = TestResponse::from_request(preflight).await;
        let allowed = response
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control-"));
        assert!(!allowed, "{response}");
    }
}
