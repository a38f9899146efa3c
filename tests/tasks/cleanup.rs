//! `cargo loco task group:purge`, `session:expire` and `invite:expire`.

use chrono::{Duration, Utc};
use salam::models::{chat_groups, invites, sessions};
use sea_orm::{EntityTrait, PaginatorTrait, sea_query::Expr};

use super::run_task;
use crate::support::TestApp;

#[tokio::test]
async fn cleanup_tasks_delete_what_the_workers_delete() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    ann.create_invite(&group).await;
    let db = &app.ctx.db;
    let long_ago = || Expr::value(Utc::now() - Duration::hours(25));
    let ended = invites::Entity::update_many().col_expr(invites::Column::ExpiresAt, long_ago());
    ended.exec(db).await.unwrap();
    let ended = sessions::Entity::update_many().col_expr(sessions::Column::ExpiresAt, long_ago());
    ended.exec(db).await.unwrap();
    let closed =
        chat_groups::Entity::update_many().col_expr(chat_groups::Column::ClosedAt, long_ago());
    closed.exec(db).await.unwrap();
    for task in ["invite:expire", "session:expire", "group:purge"] {
        let (ok, output) = run_task(&app, "", task, &[]).await;
        assert!(ok && output.contains("are deleted"), "{task}: {output}");
        let (ok, output) = run_task(&app, "", task, &["username:ann"]).await;
        assert!(!ok && output.contains("`username`"), "{task}: {output}");
    }
    assert_eq!(invites::Entity::find().count(db).await.unwrap(), 0);
    assert_eq!(sessions::Entity::find().count(db).await.unwrap(), 0);
    assert_eq!(chat_groups::Entity::find().count(db).await.unwrap(), 0);
}
