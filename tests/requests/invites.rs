//! Invites that let nobody in.

use chrono::{Duration, Utc};
use insta::assert_snapshot;
use salam::models::invites;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use crate::support::TestApp;

/// That it is measured in time, too, is a script: tests/slow/enumeration.
#[tokio::test]
async fn an_invite_that_is_dead_looks_like_none() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let invites = format!("/api/groups/{group}/invites/");
    let made = async |body: Value| ann.post(&invites, body).await.json();
    let code = |invite: &Value| invite["code"].as_str().unwrap().to_owned();

    let full = made(json!({"max_uses": 1})).await;
    let accept = format!("/api/invites/{}/accept/", code(&full));
    let bob = app.user("bob").await;
    assert_eq!(bob.post(&accept, json!({})).await.status, 200);
    let withdrawn = made(json!({})).await;
    let withdraw = format!("{invites}{}/", withdrawn["id"]);
    assert_eq!(ann.delete(&withdraw).await.status, 204);
    let expired = made(json!({})).await;
    let row = invites::Entity::find_by_id(expired["id"].as_i64().unwrap());
    let row = row.one(&app.ctx.db).await.unwrap().unwrap();
    let mut row = row.into_active_model();
    row.expires_at = Set((Utc::now() - Duration::seconds(1)).into());
    row.update(&app.ctx.db).await.unwrap();

    // To who was banned, too, a dead one says nothing of the group.
    let banned = app.user("banned").await;
    let ban = format!("/api/groups/{group}/members/banned/?ban=true");
    assert_eq!(ann.delete(&ban).await.status, 204);
    let stranger = app.user("stranger").await;
    let unknown = [
        "0".repeat(32),
        "x".to_owned(),
        "F".repeat(32),
        "é".repeat(50),
    ];
    let dead = [&full, &withdrawn, &expired].map(code);
    let mut told = String::new();
    for user in [&stranger, &banned] {
        for code in dead.iter().chain(&unknown) {
            let offer = user.get(&format!("/api/invites/{code}/")).await;
            let accept = format!("/api/invites/{code}/accept/");
            let accepted = user.post(&accept, json!({})).await;
            told = offer.to_string();
            assert_eq!(accepted.to_string(), told, "{code}");
            assert_eq!(offer.status, 404, "{code}");
        }
    }
    assert_snapshot!(told, @r#"
    404 Not Found
    content-type: application/json

    {"detail":"Not found.","code":"not_found"}
    "#);
    // Who came in by it is in all the same.
    assert_eq!(bob.post(&accept, json!({})).await.status, 200);
}
