//! `POST /api/start-chat/`.

use insta::assert_snapshot;
use reqwest::Method;
use salam::models::{chat_groups, memberships};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;

use crate::support::{TestApp, TestResponse};

const START_CHAT_PATH: &str = "/api/start-chat/";

#[tokio::test]
async fn starting_a_chat_stores_the_group_and_its_owner() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let response = ann.post(START_CHAT_PATH, json!({})).await;
    assert_snapshot!(response, @r#"
    200 OK
    content-type: application/json

    {"group_name":"[group]","websocket_url":"ws://127.0.0.1:[port]/ws/chat/[group]/","message":"سلام ann الان ساعت [clock] است"}
    "#);

    let name = response.json()["group_name"].as_str().unwrap().to_owned();
    let url = response.json()["websocket_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(url, format!("ws://{}/ws/chat/{name}/", app.address));
    let group = chat_groups::Model::find_by_name(&app.ctx.db, &name)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(group.title, None);
    let roles = memberships::Entity::find()
        .filter(memberships::Column::GroupId.eq(group.id))
        .all(&app.ctx.db)
        .await
        .unwrap();
    let roles: Vec<_> = roles
        .iter()
        .map(|row| (row.user_id, row.role.as_str()))
        .collect();
    assert_eq!(roles, [(1, "owner")]);
}

#[tokio::test]
async fn the_body_may_be_empty_or_have_a_title() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let without_body = app
        .request(Method::POST, START_CHAT_PATH)
        .bearer_auth(&ann.access);
    assert_eq!(TestResponse::from_request(without_body).await.status, 200);
    assert_eq!(
        ann.post(START_CHAT_PATH, json!({"title": null}))
            .await
            .status,
        200
    );

    let response = ann.post(START_CHAT_PATH, json!({"title": "ناهار"})).await;
    let name = response.json()["group_name"].as_str().unwrap().to_owned();
    let group = chat_groups::Model::find_by_name(&app.ctx.db, &name)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(group.title.as_deref(), Some("ناهار"));

    assert_snapshot!(ann.post(START_CHAT_PATH, json!({"title": 5})).await, @r#"
    400 Bad Request
    content-type: application/json

    {"detail":"Not a valid string.","code":"invalid","field":"title"}
    "#);
    assert_snapshot!(ann.post(START_CHAT_PATH, json!({"title": "x".repeat(151)})).await, @r#"
    400 Bad Request
    content-type: application/json

    {"detail":"Ensure this field has no more than 150 characters.","code":"invalid","field":"title"}
    "#);
    assert_snapshot!(ann.post(START_CHAT_PATH, json!([])).await, @r#"
    400 Bad Request
    content-type: application/json

    {"detail":"The body must be a JSON object.","code":"invalid"}
    "#);
}

#[tokio::test]
async fn starting_a_chat_requires_a_bearer_access_token() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let rejected = app.post(START_CHAT_PATH, json!({})).await;
    assert_snapshot!(rejected, @r#"
    401 Unauthorized
    content-type: application/json
    www-authenticate: Bearer

    {"detail":"Authentication credentials were not provided"}
    "#);
    let headers = [
        ("authorization", "Bearer".to_owned()),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", ann.access.clone()),
        ("authorization", format!("Basic {}", ann.access)),
        ("authorization", format!("Bearer {}x", ann.access)),
        ("authorization", format!("Bearer {}", ann.refresh)),
        ("cookie", ann.cookie()),
    ];
    for (name, value) in headers {
        let request = app
            .request(Method::POST, START_CHAT_PATH)
            .header(name, &value);
        assert_eq!(
            TestResponse::from_request(request).await.to_string(),
            rejected.to_string(),
            "{name}: {value}"
        );
    }
    assert_eq!(
        chat_groups::Entity::find()
            .count(&app.ctx.db)
            .await
            .unwrap(),
        0
    );
    for scheme in ["bearer", "BEARER", "BeArEr"] {
        let value = format!("{scheme} {}", ann.access);
        let request = app
            .request(Method::POST, START_CHAT_PATH)
            .header("authorization", value);
        assert_eq!(
            TestResponse::from_request(request).await.status,
            200,
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn the_websocket_url_has_the_host_of_the_request() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let url = async |headers: &[(&str, &str)]| {
        let mut request = app
            .request(Method::POST, START_CHAT_PATH)
            .bearer_auth(&ann.access);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = TestResponse::from_request(request).await.json();
        let name = response["group_name"].as_str().unwrap().to_owned();
        response["websocket_url"]
            .as_str()
            .unwrap()
            .replace(&name, "[group]")
    };
    assert_snapshot!(url(&[("host", "chat.example")]).await, @"ws://chat.example/ws/chat/[group]/");
    assert_snapshot!(url(&[("host", "chat.example:8443"), ("x-forwarded-proto", "https")]).await, @"wss://chat.example:8443/ws/chat/[group]/");
    assert_snapshot!(url(&[("host", "chat.example"), ("x-forwarded-proto", "https, http")]).await, @"wss://chat.example/ws/chat/[group]/");

    let app = TestApp::with_settings(json!({"public_url": "https://salam.example"})).await;
    let ann = app.user("ann").await;
    let response = ann.post(START_CHAT_PATH, json!({})).await.json();
    let url = response["websocket_url"].as_str().unwrap();
    assert!(
        url.starts_with("wss://salam.example/ws/chat/chat_"),
        "{url}"
    );
}

#[tokio::test]
async fn the_greeting_shows_the_configured_time_zone() {
    let app = TestApp::with_settings(json!({"time_zone": "Asia/Kathmandu"})).await;
    let ann = app.user("ann").await;
    // UTC+5:45, which no test machine uses as its own zone.
    let there = || {
        let now = chrono::Utc::now().with_timezone(&chrono_tz::Asia::Kathmandu);
        now.format("%H:%M").to_string()
    };
    let before = there();
    let response = ann.post(START_CHAT_PATH, json!({})).await.json();
    let message = response["message"].as_str().unwrap();
    let is_shown = [before, there()].iter().any(|time| message.contains(time));
    assert!(is_shown, "{message} at {}", there());
}
