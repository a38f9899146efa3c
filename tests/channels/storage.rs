//! An acknowledged message is stored, and a message that cannot be stored is not acknowledged.

use std::collections::BTreeMap;

use salam::models::{epochs, events};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use serde_json::{Value, json};

use crate::support::{
    CommitFault, FaultyPostgresProxy, GroupPath, TestApp, connected_nodes, skip_unless, wait_until,
};

/// Returns the stored seqs and texts, by group.
async fn stored_messages(app: &TestApp) -> BTreeMap<i64, Vec<(i64, String)>> {
    let rows = events::Entity::find()
        .order_by_asc(events::Column::Seq)
        .all(&app.ctx.db)
        .await
        .unwrap();
    let mut logs = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let data: Value = serde_json::from_str(&row.data).unwrap();
        let text = data["text"].as_str().unwrap().to_owned();
        logs.entry(row.group_id).or_default().push((row.seq, text));
    }
    logs
}

#[tokio::test]
async fn acknowledged_messages_are_stored_unchanged() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    let texts = [
        "hi",
        " ",
        "سلام\n",
        "a\0b",
        "\"quoted\" \\ 🙂",
        &"x".repeat(60_000),
    ];
    for (i, text) in texts.iter().enumerate() {
        socket.send(json!({"message": text}).to_string()).await;
        assert_eq!(socket.next_message().await, "now is [clock]");
        assert_eq!(
            stored_messages(&app).await[&1][i],
            (i as i64 + 1, (*text).to_owned())
        );
    }
    // Frames without a message store nothing.
    for frame in ["{}", "[]", r#"{"message": ""}"#, r#"{"message": 5}"#] {
        socket.send(frame).await;
        assert_eq!(socket.next_message().await, "now is [clock]");
    }
    assert_eq!(stored_messages(&app).await[&1].len(), texts.len());
    let row = events::Entity::find()
        .one(&app.ctx.db)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.kind.as_str(), row.user_id, row.cid),
        ("message.created", Some(1), None)
    );
}

#[tokio::test]
async fn concurrent_senders_on_two_nodes_write_gapless_logs() {
    let (_redis, here, there) = connected_nodes().await;
    let ann = here.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(ann.start_chat().await);
    }
    let mut senders = Vec::new();
    for group in &groups {
        for node in [&here, &there, &here, &there] {
            senders.push(ann.on_node(node).open_base(group).await);
        }
    }
    const POSTS: usize = 25;
    let sending = senders
        .into_iter()
        .enumerate()
        .map(|(sender, mut socket)| async move {
            for i in 0..POSTS {
                socket
                    .send(json!({"message": format!("{sender}/{i}")}).to_string())
                    .await;
            }
            // The replies to its own messages, and the messages of the other three sockets of the group.
            let (mut replies, mut arrivals) = (0, 0);
            while replies < POSTS || arrivals < 3 * POSTS {
                match socket.next_message().await.as_str() {
                    "now is [clock]" => replies += 1,
                    "ann now is [clock]" => arrivals += 1,
                    other => panic!("{other}"),
                }
            }
            socket.expect_no_frames().await;
        });
    futures_util::future::join_all(sending).await;

    let logs = stored_messages(&here).await;
    assert_eq!(logs.len(), groups.len());
    for log in logs.values() {
        let seqs: Vec<i64> = log.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=4 * POSTS as i64).collect::<Vec<_>>());
        let mut next = BTreeMap::<&str, usize>::new();
        for (_, text) in log {
            let (sender, i) = text.split_once('/').unwrap();
            let expected = next.entry(sender).or_default();
            assert_eq!(
                i.parse::<usize>().unwrap(),
                *expected,
                "each sender's order is kept"
            );
            *expected += 1;
        }
    }
}

/// Terminates all other connections to the test's PostgreSQL database.
const TERMINATE_OTHER_CONNECTIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// SQLite has no connections that can be terminated.
#[tokio::test]
async fn sends_survive_terminated_database_connections() {
    skip_unless!(PostgreSQL);
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    for _ in 0..10 {
        app.ctx
            .db
            .execute_unprepared(TERMINATE_OTHER_CONNECTIONS)
            .await
            .unwrap();
        socket.send(r#"{"message": "hi"}"#).await;
        assert_eq!(socket.next_message().await, "now is [clock]");
    }
    assert_eq!(stored_messages(&app).await[&1].len(), 10);
}

#[tokio::test]
async fn sends_survive_a_connection_lost_during_commit() {
    skip_unless!(PostgreSQL);
    let (app, proxy) = app_behind_faulty_proxy().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut other = ann.open_live(&group).await;
    let mut sender = ann.open_base(&group).await;
    for (seq, cut) in (1..).zip([CommitFault::LostRequest, CommitFault::LostResponse].repeat(4)) {
        proxy.fail_next_commit(cut);
        // A base message has no cid, so only the database knows whether it was stored.
        let text = format!("{seq} {cut:?}");
        sender.send(json!({"message": text}).to_string()).await;
        assert_eq!(sender.next_message().await, "now is [clock]", "{text}");
        assert!(proxy.has_failed_commit());
        let event = other.next_event().await;
        assert_eq!(
            (&event["seq"], &event["data"]),
            (&json!(seq), &json!({"text": text}))
        );
    }
    other.expect_no_frames().await;
    assert_eq!(stored_messages(&app).await[&1].len(), 8);
}

#[tokio::test]
async fn sends_survive_a_postgresql_restart() {
    skip_unless!(PostgreSQL);
    let (app, proxy) = app_behind_faulty_proxy().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    proxy.refuse_connections();
    app.ctx
        .db
        .execute_unprepared(TERMINATE_OTHER_CONNECTIONS)
        .await
        .unwrap();
    socket.send(r#"{"message": "hi"}"#).await;
    wait_until("several connections are refused", async || {
        proxy.refused_connections() >= 5
    })
    .await;
    proxy.accept_connections();
    assert_eq!(socket.next_message().await, "now is [clock]");
    assert_eq!(stored_messages(&app).await[&1].len(), 1);
}

/// Starts an app whose connections to PostgreSQL can be cut.
async fn app_behind_faulty_proxy() -> (TestApp, FaultyPostgresProxy) {
    let mut proxy = None;
    let app = TestApp::with_config(|config| {
        let uri = &mut config.database.uri;
        *uri = proxy.insert(FaultyPostgresProxy::in_front_of(uri)).uri();
    })
    .await;
    (app, proxy.unwrap())
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_is_not_acknowledged() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut sender = ann.open_base(&group).await;
    let mut other = ann.open_base(&group).await;
    app.ctx
        .db
        .execute_unprepared("ALTER TABLE events RENAME TO gone")
        .await
        .unwrap();
    sender.send(r#"{"message": "hi"}"#).await;
    assert_eq!(sender.next_message_or_close().await, Err(1013));
    other.expect_no_frames().await;

    // The app recovers as soon as the database does.
    app.ctx
        .db
        .execute_unprepared("ALTER TABLE gone RENAME TO events")
        .await
        .unwrap();
    let mut again = ann.open_base(&group).await;
    again.send(r#"{"message": "hi"}"#).await;
    assert_eq!(again.next_message().await, "now is [clock]");
    assert_eq!(other.next_message().await, "ann now is [clock]");
    assert_eq!(
        stored_messages(&app).await[&1],
        [(1, "hi".to_owned())],
        "a number that was lost leaves no gap"
    );
}

/// Moves a group's log back, like a backup that is restored under a running server.
async fn roll_back_log(app: &TestApp, head: i64) {
    for restore in [
        format!("DELETE FROM events WHERE seq > {head}"),
        format!("UPDATE chat_groups SET head = {head}, messages = {head}, last_message = {head}"),
    ] {
        app.ctx.db.execute_unprepared(&restore).await.unwrap();
    }
}

async fn until_ready(app: &TestApp) {
    wait_until("the node to be ready", async || {
        app.get("/_readiness").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_log_rollback_blocks_writes_until_a_new_epoch() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut other = ann.open_live(&group).await;
    for cid in ["1", "2", "3"] {
        assert_eq!(ann.send_message(&group, "x", cid).await.status, 201);
        other.next_event().await;
    }
    roll_back_log(&app, 1).await;
    // The writer notices the loss before it appends an event.
    assert_eq!(ann.send_message(&group, "x", "4").await.status, 503);
    let readiness = app.get("/_readiness").await;
    assert_eq!(readiness.status, 503);
    assert_eq!(
        readiness.json(),
        json!({"ok": false, "state": "failing", "reasons": ["log_behind"]})
    );
    // All writes fail, and reads still work.
    let account = json!({"name": "Bob", "username": "bob", "password": "the staple of bob"});
    assert_eq!(app.post("/api/register/", account).await.status, 503);
    let path = group.path("");
    assert_eq!(ann.patch(&path, json!({"title": "x"})).await.status, 503);
    assert_eq!(ann.get(&path).await.status, 200);
    let mut base = ann.open_base(&group).await;
    base.send(r#"{"message": "x"}"#).await;
    let closed = loop {
        // Events that were broadcast before may still arrive.
        match base.next_message_or_close().await {
            Ok(shown) => assert_eq!(shown, "ann now is [clock]"),
            Err(code) => break code,
        }
    };
    assert_eq!(closed, 1013);

    // The operator accepts the loss and begins a new epoch.
    let ended = epochs::Model::current(&app.ctx.db).await.unwrap();
    epochs::Model::begin_next(&app.ctx.db, Some(&ended.name))
        .await
        .unwrap();
    assert_eq!(other.bye_code().await, 4501);
    until_ready(&app).await;
    assert_eq!(ann.send_message(&group, "x", "5").await.status, 201);
    assert_eq!(stored_messages(&app).await[&1].len(), 2);
}

#[tokio::test]
async fn the_sweep_detects_a_log_rollback_and_its_recovery() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut other = ann.open_live(&group).await;
    for cid in ["1", "2", "3"] {
        assert_eq!(ann.send_message(&group, "x", cid).await.status, 201);
        other.next_event().await;
    }
    let db = &app.ctx.db;
    let back = "UPDATE chat_groups SET head = 1";
    db.execute_unprepared(back).await.unwrap();
    wait_until("the node to be unready", async || {
        app.get("/_readiness").await.status == 503
    })
    .await;
    let whole = "UPDATE chat_groups SET head = 3";
    db.execute_unprepared(whole).await.unwrap();
    until_ready(&app).await;
    assert_eq!(ann.send_message(&group, "x", "4").await.status, 201);
    assert_eq!(other.next_event().await["seq"], 4, "no socket was closed");
}
