//! The worker `PurgeGroups`.

use std::sync::Arc;

use loco_rs::bgworker::BackgroundWorker;
use salam::{
    models::{chat_groups, events},
    workers::purge_groups::{Worker, WorkerArgs},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseConnection, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter,
};
use serde_json::json;

use crate::support::{TestApp, TestDatabase, wait_until};

/// Waits until the database has neither the group nor its events.
async fn until_purged(db: &DatabaseConnection, group_id: i64) {
    wait_until("the purge", async || {
        let events = events::Entity::find().filter(events::Column::GroupId.eq(group_id));
        let group = chat_groups::Entity::find_by_id(group_id);
        events.count(db).await.unwrap() == 0 && group.one(db).await.unwrap().is_none()
    })
    .await;
}

async fn group_named(db: &DatabaseConnection, name: &str) -> chat_groups::Model {
    let group = chat_groups::Model::find_by_name(db, name).await.unwrap();
    group.unwrap()
}

/// Marks a group as deleted, as a process that ended before its purge has left it.
async fn mark_deleted(db: &DatabaseConnection, group: chat_groups::Model) {
    let mut group = group.into_active_model();
    group.closed_at = Set(Some(chrono::Utc::now().into()));
    group.update(db).await.unwrap();
}

#[tokio::test]
async fn a_deleted_group_is_purged() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let (group, other) = (ann.start_chat().await, ann.start_chat().await);
    for name in [&group, &other] {
        assert_eq!(ann.send_message(name, "hi", "1").await.status, 201);
    }
    let db = &app.ctx.db;
    let row = group_named(db, &group).await;
    let path = format!("/api/groups/{group}/?confirm={group}");
    assert_eq!(ann.delete(&path).await.status, 204);
    until_purged(db, row.id).await;
    assert_eq!(events::Entity::find().count(db).await.unwrap(), 1);
}

#[tokio::test]
async fn groups_that_the_last_process_did_not_purge_are_purged_at_the_start() {
    let database = Arc::new(TestDatabase::create().await);
    let app = TestApp::start_node(database.clone(), json!({})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    assert_eq!(ann.send_message(&group, "hi", "1").await.status, 201);
    let row = group_named(&app.ctx.db, &group).await;
    let id = row.id;
    mark_deleted(&app.ctx.db, row).await;
    let restarted = TestApp::start_node(database, json!({})).await;
    until_purged(&restarted.ctx.db, id).await;
}

#[tokio::test]
async fn a_purge_can_run_twice() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let db = &app.ctx.db;
    let row = group_named(db, &group).await;
    let id = row.id;
    mark_deleted(db, row).await;
    let worker = Worker::build(&app.ctx);
    let (first, second) =
        tokio::join!(worker.perform(WorkerArgs {}), worker.perform(WorkerArgs {}));
    first.unwrap();
    second.unwrap();
    until_purged(db, id).await;
}
