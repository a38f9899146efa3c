//! Quotas of stored data: sessions, memberships and invites.

use chrono::{Duration, Utc};
use insta::assert_snapshot;
use salam::models::invites;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;

use crate::support::{GroupPath, TestApp};

#[tokio::test]
async fn a_login_beyond_the_session_limit_ends_the_least_recently_used_session() {
    let app = TestApp::with_settings(json!({"limits": {"sessions_per_user": 3}})).await;
    let (group, [first]) = app.group_of(["ann"]).await;
    let mut socket = first.open_live(&group).await;
    let (second, third) = (app.log_in("ann").await, app.log_in("ann").await);
    for session in [&first, &second, &third] {
        assert!(session.is_logged_in().await);
    }
    let fourth = app.log_in("ann").await;
    assert_eq!(socket.bye_code().await, 4410, "its sockets end with it");
    assert!(!first.is_logged_in().await);
    for session in [&second, &third, &fourth] {
        assert!(session.is_logged_in().await);
    }
    // The sessions of other users do not end.
    let bob = app.user("bob").await;
    app.log_in("ann").await;
    assert!(bob.is_logged_in().await);
    assert!(!second.is_logged_in().await);
}

#[tokio::test]
async fn groups_per_user_are_limited() {
    let app = TestApp::with_settings(json!({"limits": {"groups_per_user": 2}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    bob.start_chat().await;
    ann.add_member(&bob, &group).await;
    let rejected = bob.post("/api/start-chat/", json!({})).await;
    assert_eq!(rejected.status, 409);
    assert_snapshot!(rejected.json(), @r#"{"code":"limit_exceeded","detail":"You are a member of as many groups as one user may be; leave one first."}"#);
    let other = ann.start_chat().await;
    let code = ann.create_invite(&other).await;
    let path = format!("/api/invites/{code}/accept/");
    assert_eq!(bob.post(&path, json!({})).await.status, 409);
    // An existing member stays a member, and a member who leaves makes room.
    ann.add_member(&bob, &group).await;
    let own = group.path("members/bob/");
    assert_eq!(bob.delete(&own).await.status, 204);
    assert_eq!(bob.post(&path, json!({})).await.status, 200);
}

#[tokio::test]
async fn members_per_group_are_limited() {
    let app = TestApp::with_settings(json!({"limits": {"members_per_group": 2}})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let cyd = app.user("cyd").await;
    let code = ann.create_invite(&group).await;
    let path = format!("/api/invites/{code}/accept/");
    let rejected = cyd.post(&path, json!({})).await;
    assert_eq!(rejected.status, 409);
    assert_snapshot!(rejected.json(), @r#"{"code":"limit_exceeded","detail":"This group has as many members as a group may have."}"#);
    // It does not use the invite up.
    let own = group.path("members/bob/");
    assert_eq!(bob.delete(&own).await.status, 204);
    assert_eq!(cyd.post(&path, json!({})).await.status, 200);
}

#[tokio::test]
async fn expired_invites_are_deleted() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for _ in 0..3 {
        ann.create_invite(&group).await;
    }
    let db = &app.ctx.db;
    invites::Entity::update_many()
        .col_expr(
            invites::Column::ExpiresAt,
            sea_orm::sea_query::Expr::value(Utc::now() - Duration::hours(25)),
        )
        .filter(invites::Column::Id.lte(2))
        .exec(db)
        .await
        .unwrap();
    // An expired invite stays for a day, in case a clock is wrong.
    invites::Model::delete_expired(db).await.unwrap();
    assert_eq!(invites::Entity::find().count(db).await.unwrap(), 1);
}
