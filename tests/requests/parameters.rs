//! Parameters, headers and bodies, as generated clients and proxies send them.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, TestResponse, User};

#[tokio::test]
async fn numeric_parameters_are_digits_and_given_once() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for i in 0..3 {
        ann.send_message(&group, "hi", &i.to_string()).await;
    }
    let messages = group.path("messages/");
    let events = group.path("events/");
    for query in [
        "after=%2B1",
        "after=-0",
        "after=+1",
        "after=1&after=2",
        "after=1&after=1",
        "after=%D9%A1",
        "after=%EF%BC%91",
        "after=0x1",
        "after=1.0",
        "after=1e0",
        "after=%201",
        "after=9223372036854775808",
        "limit=%2B5",
        "limit=5&limit=5",
        "limit=0",
    ] {
        for path in [&messages, &events] {
            let response = ann.get(&format!("{path}?{query}")).await;
            assert_eq!(response.status, 400, "{path}?{query}: {response}");
            let field = &query[..5];
            assert_eq!(response.json()["field"], field, "{query}: {response}");
        }
    }
    for query in [
        "after=1",
        "after=01",
        "after=",
        "limit=5",
        "other=1&other=2",
    ] {
        for path in [&messages, &events] {
            let response = ann.get(&format!("{path}?{query}")).await;
            assert_eq!(response.status, 200, "{path}?{query}: {response}");
        }
    }
    for seq in ["+1", "-1", "-0", "%2B1", "%D9%A1", "1.0", "x"] {
        let response = ann.delete(&format!("{messages}{seq}/")).await;
        assert_eq!(response.status, 400, "{seq}: {response}");
    }
    let first = ann.get(&format!("{messages}?after=0&limit=1")).await.json();
    assert_eq!(first["results"][0]["deleted"], false);
}

#[tokio::test]
async fn last_event_id_must_be_one_number() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = group.path("events/");
    let request = async |ids: &[&str]| {
        let mut request = app
            .request(Method::GET, &path)
            .bearer_auth(&ann.access)
            .header("accept", "text/event-stream");
        for id in ids {
            request = request.header("last-event-id", *id);
        }
        let response = request.send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(request(&[""]).await, 200, "as if it were not there");
    assert_eq!(request(&["0"]).await, 200);
    for ids in [
        &["+1"][..],
        &["-0"],
        &["x"],
        &["1", "2"],
        &["1", "1"],
        &["", ""],
    ] {
        assert_eq!(request(ids).await, 400, "{ids:?}");
    }
}

#[tokio::test]
async fn a_client_that_accepts_both_gets_json() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = group.path("events/");
    for (accept, expected) in [
        ("application/json, text/event-stream", "application/json"),
        ("text/event-stream,application/json", "application/json"),
        (
            "text/event-stream;q=0.9, application/json",
            "application/json",
        ),
        ("*/*", "application/json"),
        (
            "application/json;q=0.5, text/event-stream",
            "text/event-stream",
        ),
        ("text/event-stream", "text/event-stream"),
        (
            "application/json;q=0.5, text/event-stream ; q=0.9",
            "text/event-stream",
        ),
        ("text/event-stream, */*", "text/event-stream"),
    ] {
        let request = app.request(Method::GET, &path).bearer_auth(&ann.access);
        let response = request.header("accept", accept).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], expected, "{accept}");
        let cached = response.headers().get("cache-control");
        if expected == "text/event-stream" {
            assert_eq!(cached.unwrap(), "no-store", "{accept}");
        }
    }
}

#[tokio::test]
async fn bodies_with_a_content_encoding_are_rejected() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let with = async |path: &str, coding: &str, body: Value| {
        let request = app.request(Method::POST, path).bearer_auth(&ann.access);
        let request = request.header("content-encoding", coding);
        TestResponse::from_request(request.json(&body)).await
    };
    assert_snapshot!(with("/api/start-chat/", "gzip", json!({})).await, @r#"
    415 Unsupported Media Type
    content-type: application/json

    {"detail":"Send the body without a Content-Encoding.","code":"invalid"}
    "#);
    assert_snapshot!(with("/api/register/", "br", json!({})).await, @r#"
    415 Unsupported Media Type
    content-type: application/json

    {"error":"Send the body without a Content-Encoding."}
    "#);
    assert_eq!(
        with("/api/start-chat/", "identity", json!({})).await.status,
        200
    );
    let mut stream = TcpStream::connect(app.address).unwrap();
    let request = format!(
        "POST /api/token/ HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        app.address
    );
    let response = tokio::task::spawn_blocking(move || {
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    });
    let response = response.await.unwrap();
    assert!(response.starts_with("HTTP/1.1 501 "), "{response}");
}

#[tokio::test]
async fn registration_body_errors_have_the_error_key() {
    let app = TestApp::start().await;
    let text = app.post_raw("/api/register/", "text/plain", b"{}".to_vec());
    assert_snapshot!(text.await, @r#"
    415 Unsupported Media Type
    content-type: application/json

    {"error":"Send the body as application/json."}
    "#);
    let large = app.post_raw("/api/register/", "application/json", vec![b' '; 70_000]);
    assert_snapshot!(large.await, @r#"
    413 Payload Too Large
    content-type: application/json

    {"error":"The body is too large."}
    "#);
}

#[tokio::test]
async fn probes_answer_options_with_allow() {
    let app = TestApp::start().await;
    for path in ["/_ping", "/_health", "/_readiness", "/_readiness/"] {
        let response = TestResponse::from_request(app.request(Method::OPTIONS, path)).await;
        assert_eq!(response.status, 204, "{path}: {response}");
        assert_eq!(response.header("allow"), "GET,HEAD,OPTIONS", "{path}");
    }
}

#[tokio::test]
async fn rejected_access_tokens_get_a_specific_error() {
    let app = TestApp::with_settings(json!({"tokens": {"access_lifetime": 1}})).await;
    let ann = app.user("ann").await;
    let with = async |token: &str| {
        let request = app.request(Method::GET, "/api/me/").bearer_auth(token);
        TestResponse::from_request(request).await
    };
    assert_snapshot!(app.get("/api/me/").await, @r#"
    401 Unauthorized
    content-type: application/json
    www-authenticate: Bearer

    {"detail":"Authentication credentials were not provided","code":"unauthorized"}
    "#);
    assert_snapshot!(with("nonsense").await, @r#"
    401 Unauthorized
    content-type: application/json
    www-authenticate: Bearer error="invalid_token"

    {"detail":"The access token is not valid, or its session has ended.","code":"unauthorized"}
    "#);
    crate::support::wait_until("the token to expire", async || {
        with(&ann.access).await.status == 401
    })
    .await;
    assert_snapshot!(with(&ann.access).await, @r#"
    401 Unauthorized
    content-type: application/json
    www-authenticate: Bearer error="invalid_token"

    {"detail":"The access token has expired; refresh it.","code":"token_expired"}
    "#);
    let ended = app.log_in("ann").await;
    let out = ended.post("/api/logout/", json!({})).await;
    assert_eq!(out.status, 204, "{out}");
    let response = with(&ended.access).await.json();
    assert_eq!(response["code"], "unauthorized", "{response}");
}

async fn send_message(ann: &User<'_>, group: &str, key: Option<&str>, body: Value) -> TestResponse {
    let path = group.path("messages/");
    let mut request = ann
        .app
        .request(Method::POST, &path)
        .bearer_auth(&ann.access);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    TestResponse::from_request(request.json(&body)).await
}

#[tokio::test]
async fn the_idempotency_key_may_be_in_the_body() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let body = json!({"text": "x", "cid": "k"});
    let first = send_message(&ann, &group, None, body.clone()).await;
    assert_eq!(
        (first.status.as_u16(), &first.json()["cid"]),
        (201, &json!("k"))
    );
    for key in [None, Some("k")] {
        let again = send_message(&ann, &group, key, body.clone()).await;
        assert_eq!(
            (again.status.as_u16(), &again.json()["seq"]),
            (200, &json!(1))
        );
    }
    let again = send_message(&ann, &group, Some("k"), json!({"text": "x"})).await;
    assert_eq!(again.status, 200);
    assert_snapshot!(send_message(&ann, &group, Some("other"), body.clone()).await, @r#"
    400 Bad Request
    content-type: application/json

    {"detail":"Idempotency-Key and cid differ; send one of them.","code":"invalid","field":"cid"}
    "#);
    for cid in [
        json!(""),
        json!("a b"),
        json!(5),
        json!("é"),
        json!("x".repeat(129)),
    ] {
        let rejected = send_message(&ann, &group, None, json!({"text": "x", "cid": cid})).await;
        assert_eq!(rejected.json()["field"], "cid", "{rejected}");
    }
    let path = group.path("messages/1/");
    let edit = json!({"text": "y", "cid": "e"});
    let edited = ann.patch(&path, edit.clone()).await;
    assert_eq!(edited.json()["text"], "y");
    ann.patch(&path, json!({"text": "z", "cid": "f"})).await;
    let again = ann.patch(&path, edit).await.json();
    assert_eq!(again["text"], "z", "the retry changes nothing");
}
