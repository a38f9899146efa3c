//! Invites that cannot be used, and many uses of one invite.

use chrono::{Duration, Utc};
use futures_util::future::join_all;
use insta::assert_snapshot;
use salam::models::{
    events::Actor,
    group_commands::{CommandKind, GroupCommand},
    invites,
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp};

/// tests/slow/enumeration measures the response times too.
#[tokio::test]
async fn invalid_and_unknown_invites_are_indistinguishable() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let invites = group.path("invites/");
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

    // A banned user learns nothing about the group from an unusable invite.
    let banned = app.user("banned").await;
    let ban = group.path("members/banned/?ban=true");
    assert_eq!(ann.delete(&ban).await.status, 204);
    let stranger = app.user("stranger").await;
    let unknown = [
        "0".repeat(32),
        "x".to_owned(),
        "F".repeat(32),
        "é".repeat(50),
    ];
    let dead = [&full, &withdrawn, &expired].map(code);
    let mut responses = String::new();
    for user in [&stranger, &banned] {
        for code in dead.iter().chain(&unknown) {
            let offer = user.get(&format!("/api/invites/{code}/")).await;
            let accept = format!("/api/invites/{code}/accept/");
            let accepted = user.post(&accept, json!({})).await;
            responses = offer.to_string();
            assert_eq!(accepted.to_string(), responses, "{code}");
            assert_eq!(offer.status, 404, "{code}");
        }
    }
    assert_snapshot!(responses, @r#"
    404 Not Found
    content-type: application/json

    {"detail":"Not found.","code":"not_found"}
    "#);
    // A user who joined by the invite stays a member.
    assert_eq!(bob.post(&accept, json!({})).await.status, 200);
}

#[tokio::test]
async fn an_invite_is_revoked_when_its_creator_loses_the_role() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let cem = app.user("cem").await;
    let member = group.path("members/bob/");
    let promote = async || {
        let response = ann.patch(&member, json!({"role": "admin"})).await;
        assert_eq!(response.status, 200, "{response}");
    };
    let is_open = async |code: &str| {
        let status = cem.get(&format!("/api/invites/{code}/")).await.status;
        assert!(status == 200 || status == 404, "{status}");
        status == 200
    };
    promote().await;
    let of_ann = ann.create_invite(&group).await;
    let code = bob.create_invite(&group).await;
    assert!(is_open(&code).await);
    // The admin is demoted, and becomes an admin again.
    ann.patch(&member, json!({"role": "member"})).await;
    assert!(!is_open(&code).await);
    let accepted = cem
        .post(&format!("/api/invites/{code}/accept/"), json!({}))
        .await;
    assert_eq!(accepted.status, 404, "{accepted}");
    promote().await;
    assert!(!is_open(&code).await, "the invite stays unusable");
    // The admin leaves.
    let code = bob.create_invite(&group).await;
    assert_eq!(bob.delete(&member).await.status, 204);
    assert!(!is_open(&code).await);
    // The operator deactivates the admin.
    ann.add_member(&bob, &group).await;
    promote().await;
    let code = bob.create_invite(&group).await;
    let user = salam::models::users::Model::find_by_username(&app.ctx.db, "bob").await;
    let user = user.unwrap().unwrap();
    user.set_active(&app.ctx.db, false).await.unwrap();
    assert!(!is_open(&code).await);
    user.set_active(&app.ctx.db, true).await.unwrap();
    assert!(!is_open(&code).await);
    // An owner who becomes an admin keeps the invites.
    assert!(is_open(&of_ann).await);
    ann.patch(&member, json!({"role": "owner"})).await;
    assert!(is_open(&of_ann).await);
}

#[tokio::test]
async fn a_demoted_admin_cannot_withdraw_invites() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let stranger = app.user("stranger").await;
    let member = group.path("members/bob/");
    ann.patch(&member, json!({"role": "admin"})).await;
    let code = ann.create_invite(&group).await;
    let user = salam::models::users::Model::find_by_username(&app.ctx.db, "bob").await;
    let user = user.unwrap().unwrap();
    let found =
        salam::models::chat_groups::Model::find_for_member(&app.ctx.db, &group, &user).await;
    let (found, _) = found.unwrap().unwrap();
    // The request passed the check as an admin's, and waits for the lock of the group.
    ann.patch(&member, json!({"role": "member"})).await;
    let revoke = GroupCommand {
        group_id: found.id,
        actor: Some(Actor::from_user(&user)),
        cid: None,
        kind: CommandKind::RevokeInvite { id: 2 },
    };
    assert!(revoke.apply_single(&app.ctx.db).await.is_err());
    let path = group.path("invites/2/");
    assert_eq!(bob.delete(&path).await.status, 403);
    assert_eq!(stranger.delete(&path).await.status, 404);
    assert_eq!(bob.get(&format!("/api/invites/{code}/")).await.status, 200);
}

/// Commands beyond the limit of a batch wait for the next batches, and messages are still sent.
#[tokio::test]
async fn many_users_accept_an_invite_while_messages_are_sent() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let code = ann.create_invite(&group).await;
    let mut users = Vec::new();
    for i in 0..40 {
        users.push(app.user(&format!("user{i}")).await);
    }
    let path = format!("/api/invites/{code}/accept/");
    let accepts = users.iter().map(|user| user.post(&path, json!({})));
    let cids: Vec<_> = (0..40).map(|i| format!("c{i}")).collect();
    let sends = cids.iter().map(|cid| ann.send_message(&group, "hi", cid));
    let (accepted, sent) = tokio::join!(join_all(accepts), join_all(sends));
    assert!(accepted.iter().all(|response| response.status == 200));
    assert!(sent.iter().all(|response| response.status == 201));
    let log = ann.get(&group.path("events/?limit=500")).await.json();
    let seqs = log["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["seq"].as_i64().unwrap());
    assert!(seqs.eq(1..=80), "{log}");
}
