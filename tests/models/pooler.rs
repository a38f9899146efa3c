//! PgBouncer between the server and PostgreSQL.

use std::sync::Arc;

use insta::assert_snapshot;
use loco_rs::{app::Hooks, boot::StartMode, environment::Environment};
use migration::check_pooler;
use salam::{app::App, database};
use sea_orm::DbErr;
use serde_json::json;

use crate::support::{PgBouncer, TestApp, TestDatabase, skip_unless, wait_until};

async fn check_pooler_at(uri: &str) -> Result<(), DbErr> {
    let config = App::load_config(&Environment::Test).await.unwrap();
    check_pooler(&database::open_pool(uri, None, &config.database, "salam/test").unwrap()).await
}

#[tokio::test]
async fn pgbouncer_session_mode_works_without_settings() {
    skip_unless!(PostgreSQL);
    let database = Arc::new(TestDatabase::create().await);
    let mut pooler = PgBouncer::in_front_of(&database.uri, "session").await;
    let uri = pooler.uri(&database.uri);
    check_pooler_at(&uri).await.unwrap();
    // Migrations run through the pooler too.
    let app = TestApp::with_config(|config| config.database.uri.clone_from(&uri)).await;
    assert_eq!(app.get("/_readiness").await.status, 200);
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    for cid in ["1", "2", "3"] {
        assert_eq!(ann.send_message(&group, cid, cid).await.status, 201);
        assert_eq!(socket.next_event().await["data"], json!({"text": cid}));
    }
    // A resume reads the log.
    let mut back = ann.open_rich(&group, "after=1").await;
    let frames = back.until_sync().await;
    assert_eq!(frames.last().unwrap()["seq"], 3);

    // A restart of the pooler loses no acknowledged message.
    pooler.kill();
    wait_until("the node to be unready", async || {
        app.get("/_readiness").await.status == 503
    })
    .await;
    let sending = ann.send_message(&group, "4", "4");
    let (sent, ()) = tokio::join!(sending, pooler.start_process());
    assert!(matches!(sent.status.as_u16(), 201 | 503), "{sent}");
    wait_until("the node to be ready", async || {
        app.get("/_readiness").await.status == 200
    })
    .await;
    assert!(ann.send_message(&group, "4", "4").await.status.is_success());
    assert_eq!(socket.next_event().await["seq"], 4);
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn pgbouncer_transaction_mode_is_rejected() {
    skip_unless!(PostgreSQL);
    let database = Arc::new(TestDatabase::create().await);
    let pooler = PgBouncer::in_front_of(&database.uri, "transaction").await;
    let uri = pooler.uri(&database.uri);
    let rejected = check_pooler_at(&uri).await.unwrap_err().to_string();
    assert_snapshot!(rejected, @"Migration Error: the pooler in front of PostgreSQL is in transaction or statement mode: two sessions share one server connection, but Salam needs one server connection for each session; use session mode (PgBouncer: `pool_mode = session`), or connect to PostgreSQL directly");
    // `start` reports the same error before it serves.
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    config.database.uri = uri;
    config.database.dangerously_truncate = false;
    let boot = App::boot(StartMode::ServerOnly, &Environment::Test, config).await;
    assert!(boot.err().unwrap().to_string().contains(&rejected));
}
