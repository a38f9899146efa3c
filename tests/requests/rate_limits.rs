//! The rate limits of a network and of a user.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, TestResponse, User};

async fn app_with_limits(limits: Value) -> TestApp {
    TestApp::with_settings(json!({ "limits": limits })).await
}

async fn post_from(app: &TestApp, address: &str, path: &str, body: &Value) -> TestResponse {
    let request = app.request(Method::POST, path);
    TestResponse::from_request(request.header("x-forwarded-for", address).json(body)).await
}

/// Asserts that the response has a `Retry-After` of at most this many seconds.
fn assert_retry_after(response: &TestResponse, longest: u64) {
    let seconds: u64 = response.header("retry-after").parse().unwrap();
    assert!((1..=longest).contains(&seconds), "{response}");
}

/// Posts a body from one address up to the limit. Asserts that one more request is rejected, and that
/// another address is not affected. Returns the rejection.
async fn expect_rate_limit(app: &TestApp, path: &str, body: &Value, times: usize) -> TestResponse {
    let (here, there) = ("2001:db8::1", "2001:db8:0:1::1");
    for _ in 0..times {
        assert_ne!(post_from(app, here, path, body).await.status, 429);
    }
    let neighbour = "2001:db8::ffff";
    let rejected = post_from(app, neighbour, path, body).await;
    assert_eq!(rejected.status, 429, "{rejected}");
    assert_ne!(post_from(app, there, path, body).await.status, 429);
    rejected
}

#[tokio::test]
async fn registrations_per_network_are_rate_limited() {
    let app = app_with_limits(json!({"registrations_per_hour": 2})).await;
    let response = expect_rate_limit(&app, "/api/register/", &json!({}), 2).await;
    assert_retry_after(&response, 1800);
    let body = &response.body;
    assert_snapshot!(body, @r#"{"error":"Too many requests; slow down."}"#);
}

#[tokio::test]
async fn logins_per_network_are_rate_limited() {
    let app = app_with_limits(json!({"logins_per_minute": 3})).await;
    let body = json!({"username": "nobody", "password": "x"});
    let response = expect_rate_limit(&app, "/api/token/", &body, 3).await;
    assert_retry_after(&response, 20);
    let body = &response.body;
    assert_snapshot!(body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
}

#[tokio::test]
async fn refreshes_per_network_are_rate_limited() {
    let app = app_with_limits(json!({"refreshes_per_minute": 3})).await;
    let response =
        expect_rate_limit(&app, "/api/token/refresh/", &json!({"refresh": "x"}), 3).await;
    assert_retry_after(&response, 20);
    let body = &response.body;
    assert_snapshot!(body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
}

#[tokio::test]
async fn new_chats_per_user_are_rate_limited() {
    let app = app_with_limits(json!({"starts_per_hour": 2})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    for _ in 0..2 {
        ann.start_chat().await;
    }
    let response = ann.post("/api/start-chat/", json!({})).await;
    assert_eq!(response.status, 429);
    assert_retry_after(&response, 1800);
    let body = &response.body;
    assert_snapshot!(body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    bob.start_chat().await;
}

#[tokio::test]
async fn changes_per_user_are_rate_limited() {
    let app = app_with_limits(json!({"changes_per_minute": 2})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let rename = async |user: &User<'_>, group: &str| {
        let path = group.path("");
        user.patch(&path, json!({"title": "Lunch"})).await
    };
    let (group, other) = (ann.start_chat().await, bob.start_chat().await);
    assert_eq!(rename(&ann, &group).await.status, 200);
    assert_eq!(rename(&ann, &group).await.status, 200);
    let rejected = rename(&ann, &group).await;
    assert_eq!(
        (rejected.status.as_u16(), rejected.header("retry-after")),
        (429, "30")
    );
    let withdrawal = ann.delete(&group.path("invites/1/")).await;
    assert_eq!(withdrawal.status, 429, "all kinds count together");
    assert_eq!(rename(&bob, &other).await.status, 200);
}

#[tokio::test]
async fn invites_per_user_are_rate_limited() {
    let app = app_with_limits(json!({"invites_per_hour": 2})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let invite =
        async |user: &User<'_>, group: &str| user.post(&group.path("invites/"), json!({})).await;
    let (of_ann, of_bob) = (ann.start_chat().await, bob.start_chat().await);
    for _ in 0..2 {
        assert_eq!(invite(&ann, &of_ann).await.status, 201);
    }
    let response = invite(&ann, &of_ann).await;
    assert_eq!(response.status, 429);
    assert_retry_after(&response, 1800);
    let body = &response.body;
    assert_snapshot!(body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    assert_eq!(invite(&bob, &of_bob).await.status, 201);
    assert_eq!(
        invite(&bob, &of_ann).await.status,
        404,
        "a stranger, as ever"
    );
}

#[tokio::test]
async fn reads_per_user_and_network_are_rate_limited() {
    let app = app_with_limits(json!({"reads_per_10s": 5, "network_reads_per_10s": 12})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    let get_from = async |user: Option<&User<'_>>, address: &str, path: &str| {
        let mut request = app
            .request(Method::GET, path)
            .header("x-forwarded-for", address);
        if let Some(user) = user {
            request = request.bearer_auth(&user.access);
        }
        TestResponse::from_request(request).await
    };
    let paths = [
        "/api/me/".to_owned(),
        "/api/groups/".to_owned(),
        group.path("messages/"),
        "/api/sessions/".to_owned(),
        group.path("members/"),
    ];
    // All endpoints share the limit, from any address.
    for (number, path) in paths.iter().enumerate() {
        let response = get_from(Some(&ann), &format!("192.0.2.{number}"), path).await;
        assert_eq!(response.status, 200, "{path}: {response}");
    }
    for path in &paths {
        let rejected = get_from(Some(&ann), "192.0.2.9", path).await;
        assert_eq!(rejected.status, 429, "{path}: {rejected}");
        assert_retry_after(&rejected, 2);
        assert_eq!(
            rejected.body,
            r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#
        );
    }
    // The user may still write, and other users may read.
    assert_eq!(ann.send_message(&group, "hi", "1").await.status, 201);
    assert_eq!(
        get_from(Some(&bob), "192.0.2.9", "/api/me/").await.status,
        200
    );
    // The limit of a network, for requests without an account.
    for path in [
        "/",
        "/swagger/",
        "/static/salam.js",
        "/api-docs/openapi.json",
        "/nothing/",
        "/api/me/",
    ]
    .iter()
    .cycle()
    .take(12)
    {
        assert_ne!(
            get_from(None, "2001:db8::1", path).await.status,
            429,
            "{path}"
        );
    }
    let rejected = get_from(None, "2001:db8::2", "/swagger/").await;
    assert_eq!(rejected.status, 429, "{rejected}");
    assert_retry_after(&rejected, 1);
    assert_eq!(
        get_from(None, "2001:db8:0:1::1", "/swagger/").await.status,
        200
    );
    // The operator's probes are never limited.
    for _ in 0..20 {
        assert_eq!(
            get_from(None, "2001:db8::1", "/_readiness/").await.status,
            200
        );
    }
}

#[tokio::test]
async fn networks_of_one_ipv6_site_share_a_rate_limit() {
    let app = app_with_limits(json!({"refreshes_per_minute": 2})).await;
    let body = json!({"refresh": "x"});
    let mut taken = 0;
    for network in 0..64 {
        let address = format!("2001:db8:7:{network:x}::1");
        if post_from(&app, &address, "/api/token/refresh/", &body)
            .await
            .status
            != 429
        {
            taken += 1;
        }
    }
    assert_eq!(taken, 32, "sixteen times the limit of one network");
    let elsewhere = post_from(&app, "2001:db8:8::1", "/api/token/refresh/", &body).await;
    assert_ne!(elsewhere.status, 429);
    let v4 = post_from(&app, "192.0.2.1", "/api/token/refresh/", &body).await;
    assert_ne!(v4.status, 429);
}
