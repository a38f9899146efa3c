//! The replacement of `JWT_SECRET` without a logout.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm, EncodingKey, Header, dangerous::insecure_decode, decode_header, encode,
};
use serde_json::{Value, json};

use crate::support::{RedisServer, TestApp, TestDatabase};

const OLD: &str = "development-only-secret-that-is-old";
const NEW: &str = "development-only-secret-that-is-new";

fn secrets(secret: &str, accepted: &str) -> Value {
    json!({"tokens": {"secret": secret, "accepted_secrets": accepted}})
}

fn kid(token: &str) -> Option<String> {
    decode_header(token).unwrap().kid
}

#[tokio::test]
async fn tokens_of_an_accepted_secret_stay_valid() {
    let database = Arc::new(TestDatabase::create().await);
    let before = TestApp::start_node(database.clone(), secrets(OLD, "")).await;
    let ann = before.user("ann").await;
    let group = ann.start_chat().await;
    assert_eq!(kid(&ann.access), None, "one secret needs no names");

    let during = TestApp::start_node(database.clone(), secrets(NEW, OLD)).await;
    let there = ann.on_node(&during);
    assert_eq!(there.get("/api/groups/").await.status, 200);
    there.open_live(&group).await;
    let refreshed = during
        .post("/api/token/refresh/", json!({"refresh": ann.refresh}))
        .await
        .json();
    let access = refreshed["access"].as_str().unwrap();
    assert!(kid(access).is_some());
    let groups = |app: &TestApp, access: &str| {
        let request = app.request(reqwest::Method::GET, "/api/groups/");
        request.bearer_auth(access).send()
    };
    assert_eq!(groups(&during, access).await.unwrap().status(), 200);
    // A node that does not accept the new secret yet refuses its tokens.
    assert_eq!(groups(&before, access).await.unwrap().status(), 401);

    let after = TestApp::start_node(database, secrets(NEW, "")).await;
    assert_eq!(groups(&after, access).await.unwrap().status(), 200);
    assert_eq!(groups(&after, &ann.access).await.unwrap().status(), 401);
}

#[tokio::test]
async fn accepted_secrets_are_a_list_or_a_text() {
    let database = Arc::new(TestDatabase::create().await);
    let before = TestApp::start_node(database.clone(), secrets(OLD, "")).await;
    let ann = before.user("ann").await;
    let other = "development-only-secret-of-another";
    for accepted in [
        json!([other, OLD]),
        json!(format!("{other} {OLD}\n")),
        json!(format!("{other},{OLD}")),
        json!(format!("[{other}, \"{OLD}\"]")),
    ] {
        let settings = json!({"tokens": {"secret": NEW, "accepted_secrets": accepted}});
        let app = TestApp::start_node(database.clone(), settings).await;
        let there = ann.on_node(&app);
        assert_eq!(there.get("/api/groups/").await.status, 200, "{accepted}");
    }
}

#[tokio::test]
async fn a_token_must_name_the_secret_that_signed_it() {
    let app = TestApp::with_settings(secrets(NEW, OLD)).await;
    let ann = app.user("ann").await;
    let claims = insecure_decode::<Value>(&ann.access).unwrap().claims;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = kid(&ann.access);
    let sign = |header: &Header, secret: &str| {
        encode(
            header,
            &claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .unwrap()
    };
    let status = async |token: String| {
        let request = app.request(reqwest::Method::GET, "/api/groups/");
        request.bearer_auth(token).send().await.unwrap().status()
    };
    assert_eq!(status(sign(&header, NEW)).await, 200);
    assert_eq!(status(sign(&header, OLD)).await, 401);
    header.kid = Some("../../dev/null".to_owned());
    assert_eq!(status(sign(&header, NEW)).await, 401);
    header.kid = None;
    assert_eq!(status(sign(&header, NEW)).await, 200);
    assert_eq!(status(sign(&header, OLD)).await, 200);
    assert_eq!(
        status(sign(&header, "development-only-secret-of-another")).await,
        401
    );
}

/// Several nodes are restarted one after the other, so two nodes have different secrets for a while.
#[tokio::test]
async fn nodes_with_different_secrets_hear_each_other_during_the_replacement() {
    let redis = RedisServer::start().await;
    let database = Arc::new(TestDatabase::create().await);
    let mut nodes = Vec::new();
    for (secret, accepted) in [(OLD, NEW), (NEW, OLD)] {
        let mut settings = secrets(secret, accepted);
        // The messages must come through Redis, not through the database.
        settings["channels"] = json!({"redis_url": redis.url(), "sweep_every": 3600});
        nodes.push(TestApp::start_node(database.clone(), settings).await);
    }
    for node in &nodes {
        node.until_redis_is_connected().await;
    }
    let ann = nodes[0].user("ann").await;
    let group = ann.start_chat().await;
    for (from, to) in [(0, 1), (1, 0)] {
        let mut socket = ann.on_node(&nodes[to]).open_live(&group).await;
        let sender = ann.on_node(&nodes[from]);
        let text = format!("from-{from}");
        assert_eq!(sender.send_message(&group, &text, &text).await.status, 201);
        assert_eq!(socket.next_event().await["data"]["text"], text);
    }
}
