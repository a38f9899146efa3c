//! Requests that a foreign page can make a browser send, with the cookie and forms: they have no effect
//! (CSRF).

use reqwest::Method;
use serde_json::json;

use crate::support::{GroupPath, TestApp, TestResponse};

/// The paths that need no access token.
const UNAUTHENTICATED_PATHS: [&str; 3] = ["/api/register/", "/api/token/", "/api/token/refresh/"];

/// Returns every endpoint of the API, with an existing group and invite.
async fn api_endpoints(app: &TestApp, group: &str, code: &str) -> Vec<(Method, String)> {
    let document = app.get("/api-docs/openapi.json").await.json();
    let mut endpoints = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        let path = path
            .replace("{group_name}", group)
            .replace("{code}", code)
            .replace("{seq}", "1")
            .replace("{emoji}", "👍")
            .replace("{username}", "ann")
            .replace("{id}", "1");
        assert!(!path.contains('{'), "{path}");
        for method in item.as_object().unwrap().keys() {
            endpoints.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    assert!(endpoints.len() > 20);
    endpoints
}

#[tokio::test]
async fn the_cookie_alone_authenticates_no_endpoint() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let code = ann.create_invite(&group).await;
    for (method, path) in api_endpoints(&app, &group, &code).await {
        if UNAUTHENTICATED_PATHS.contains(&path.as_str()) {
            continue;
        }
        let request = app
            .request(method.clone(), &path)
            .header("cookie", ann.cookie())
            .header("origin", format!("http://{}", app.address));
        let response = TestResponse::from_request(request).await;
        assert_eq!(response.status, 401, "{method} {path}: {response}");
        assert_eq!(response.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn endpoints_reject_the_content_types_of_forms() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let code = ann.create_invite(&group).await;
    for (method, path) in api_endpoints(&app, &group, &code).await {
        if method == Method::GET {
            continue;
        }
        for content_type in [
            "text/plain",
            "text/plain; charset=application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
            "application/json-seq",
            "application/jsonp",
            "",
        ] {
            let request = app
                .request(method.clone(), &path)
                .bearer_auth(&ann.access)
                .header("content-type", content_type);
            let response = TestResponse::from_request(request.body(r#"{"title": "x"}"#)).await;
            assert_eq!(
                response.status, 415,
                "{method} {path} as {content_type}: {response}"
            );
        }
    }
    // Nothing has changed.
    let still = ann.get(&group.path("")).await.json();
    assert_eq!((&still["title"], &still["head"]), (&json!(null), &json!(0)));
}

#[tokio::test]
async fn authentication_is_checked_before_the_content_type() {
    let app = TestApp::start().await;
    let form = "application/x-www-form-urlencoded";
    let response = app.post_raw("/api/start-chat/", form, b"{}".to_vec()).await;
    assert_eq!(response.status, 401, "{response}");
}

#[tokio::test]
async fn an_empty_body_needs_no_content_type() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for content_type in ["text/plain", "application/json"] {
        let request = app
            .request(Method::POST, "/api/start-chat/")
            .bearer_auth(&ann.access)
            .header("content-type", content_type);
        assert_eq!(TestResponse::from_request(request).await.status, 200);
    }
    assert_eq!(
        ann.request(Method::POST, "/api/start-chat/").await.status,
        200
    );
}
