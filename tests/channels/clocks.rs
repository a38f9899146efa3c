//! Clocks of nodes that differ, and clocks that are changed.

use chrono::{Duration, Utc};
use salam::models::{
    memberships::{self, Role},
    sessions, users,
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::json;

use crate::support::{TestApp, wait_until};

/// Another node, whose clock is an hour behind, stored a membership and did not announce it.
#[tokio::test]
async fn a_membership_from_a_node_with_clock_skew_is_announced() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, _) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    let mut socket = bob.open_multi_group().await;
    let db = &app.ctx.db;
    let row = salam::models::chat_groups::Model::find_by_name(db, &group);
    let row = row.await.unwrap().unwrap();
    let made = memberships::Model::create(db, &row, 2, Role::Member).await;
    let mut made = made.unwrap().into_active_model();
    made.created_at = Set((Utc::now() - Duration::hours(1)).into());
    made.update(db).await.unwrap();
    let frame = socket.next_frame().await;
    assert_eq!(
        (&frame["type"], &frame["group"]),
        (&json!("group"), &json!(group))
    );
}

/// A socket that opens after a membership was announced does not receive the group again.
#[tokio::test]
async fn a_membership_is_announced_once() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let ann = app.user("ann").await;
    let mut before = ann.open_multi_group().await;
    let group = ann.start_chat().await;
    assert_eq!(before.next_frame().await["group"], group);
    assert_eq!(before.next_frame().await["type"], "sync");
    let mut after = ann.open_multi_group().await;
    // Two sweeps pass.
    let swept = std::time::Instant::now();
    wait_until("two sweeps", async || {
        swept.elapsed() > std::time::Duration::from_millis(2500)
    })
    .await;
    after.expect_no_frames().await;
    before.expect_no_frames().await;
}

/// A node whose clock is far ahead must not delete the sessions of other nodes.
#[tokio::test]
async fn expired_sessions_are_deleted_a_day_after_they_end() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let db = &app.ctx.db;
    let ends_at = async |at| {
        let session = sessions::Entity::find().one(db).await.unwrap().unwrap();
        let mut session = session.into_active_model();
        session.expires_at = Set(at);
        session.update(db).await.unwrap();
    };
    ends_at((Utc::now() - Duration::hours(23)).into()).await;
    sessions::Model::delete_expired(db).await.unwrap();
    assert_eq!(sessions::Entity::find().all(db).await.unwrap().len(), 1);
    assert!(!ann.is_logged_in().await, "the session has ended");
    ends_at((Utc::now() - Duration::hours(25)).into()).await;
    sessions::Model::delete_expired(db).await.unwrap();
    assert_eq!(sessions::Entity::find().all(db).await.unwrap().len(), 0);
    assert_eq!(users::Entity::find().all(db).await.unwrap().len(), 1);
}

/// All nodes use the database's clock for sessions, invites and events.
#[tokio::test]
async fn the_database_clock_compares_with_stored_times() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let db = &app.ctx.db;
    let now = salam::database::clock::now(db).await.unwrap();
    assert!((Utc::now() - now).abs() < Duration::seconds(60), "{now}");
    // A session that ends in a minute is active, and a session that has just ended is not.
    for (by, lives) in [(60, true), (-1, false), (60, true)] {
        let session = sessions::Entity::find().one(db).await.unwrap().unwrap();
        let mut session = session.into_active_model();
        session.expires_at = Set((now + Duration::seconds(by)).into());
        session.update(db).await.unwrap();
        assert_eq!(ann.is_logged_in().await, lives, "{by}");
    }
}
