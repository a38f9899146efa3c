//! A post that was answered is stored, and one that cannot be stored is not answered.

use std::collections::BTreeMap;

use salam::models::{epochs, events};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryOrder};
use serde_json::{Value, json};

use crate::support::{Cut, Cutter, RedisServer, TestApp, TestDatabase, skip, until};

/// What is stored: sequence numbers and texts, by group.
async fn logs(app: &TestApp) -> BTreeMap<i64, Vec<(i64, String)>> {
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
async fn what_is_answered_is_stored_as_it_was_sent() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
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
        assert_eq!(socket.message().await, "now is [clock]");
        assert_eq!(logs(&app).await[&1][i], (i as i64 + 1, (*text).to_owned()));
    }
    // What posts nothing stores nothing.
    for frame in ["{}", "[]", r#"{"message": ""}"#, r#"{"message": 5}"#] {
        socket.send(frame).await;
        assert_eq!(socket.message().await, "now is [clock]");
    }
    assert_eq!(logs(&app).await[&1].len(), texts.len());
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
async fn many_senders_on_two_nodes_make_gapless_logs() {
    let redis = RedisServer::start().await;
    let database = std::sync::Arc::new(TestDatabase::create().await);
    let settings = json!({"channels": {"redis_url": redis.url()}});
    let here = TestApp::node(database.clone(), settings.clone()).await;
    let there = TestApp::node(database, settings).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    let ann = here.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(ann.start_chat().await);
    }
    let mut senders = Vec::new();
    for group in &groups {
        for node in [&here, &there, &here, &there] {
            senders.push(ann.at(node).open(group).await);
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
            // Its own answers, and what the other three of its group posted.
            let (mut answers, mut arrivals) = (0, 0);
            while answers < POSTS || arrivals < 3 * POSTS {
                match socket.message().await.as_str() {
                    "now is [clock]" => answers += 1,
                    "ann now is [clock]" => arrivals += 1,
                    other => panic!("{other}"),
                }
            }
            socket.expect_silence().await;
        });
    futures_util::future::join_all(sending).await;

    let logs = logs(&here).await;
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

/// Cuts all connections to PostgreSQL's database but the one that asks for it.
const CUT_OTHERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// SQLite has no connection that anybody could cut.
#[tokio::test]
async fn who_sends_does_not_notice_that_connections_to_the_database_are_cut() {
    let app = TestApp::start().await;
    if app.ctx.db.get_database_backend() != DbBackend::Postgres {
        return skip("needs PostgreSQL");
    }
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    for _ in 0..10 {
        app.ctx.db.execute_unprepared(CUT_OTHERS).await.unwrap();
        socket.send(r#"{"message": "hi"}"#).await;
        assert_eq!(socket.message().await, "now is [clock]");
    }
    assert_eq!(logs(&app).await[&1].len(), 10);
}

#[tokio::test]
async fn who_sends_does_not_notice_that_a_commit_is_cut() {
    let Some((app, cutter)) = behind_a_cutter().await else {
        return skip("needs PostgreSQL");
    };
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut other = ann.live(&group).await;
    let mut sender = ann.open(&group).await;
    for (seq, cut) in (1..).zip([Cut::Request, Cut::Answer].repeat(4)) {
        cutter.cut(cut);
        // A base post has no id: nothing but the database's own word says whether it was stored.
        let text = format!("{seq} {cut:?}");
        sender.send(json!({"message": text}).to_string()).await;
        assert_eq!(sender.message().await, "now is [clock]", "{text}");
        assert!(cutter.has_cut());
        let event = other.event().await;
        assert_eq!(
            (&event["seq"], &event["data"]),
            (&json!(seq), &json!({"text": text}))
        );
    }
    other.expect_silence().await;
    assert_eq!(logs(&app).await[&1].len(), 8);
}

#[tokio::test]
async fn who_sends_does_not_notice_that_postgresql_starts_again() {
    let Some((app, cutter)) = behind_a_cutter().await else {
        return skip("needs PostgreSQL");
    };
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    cutter.go_away();
    app.ctx.db.execute_unprepared(CUT_OTHERS).await.unwrap();
    socket.send(r#"{"message": "hi"}"#).await;
    until("several are in vain", async || cutter.missed() >= 5).await;
    cutter.come_back();
    assert_eq!(socket.message().await, "now is [clock]");
    assert_eq!(logs(&app).await[&1].len(), 1);
}

/// An app whose PostgreSQL may be cut off.
async fn behind_a_cutter() -> Option<(TestApp, Cutter)> {
    let mut cutter = None;
    let app = TestApp::configured(|config| {
        let uri = &mut config.database.uri;
        if uri.starts_with("postgres") {
            *uri = cutter.insert(Cutter::before(uri)).uri();
        }
    })
    .await;
    Some((app, cutter?))
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut sender = ann.open(&group).await;
    let mut other = ann.open(&group).await;
    app.ctx
        .db
        .execute_unprepared("ALTER TABLE events RENAME TO gone")
        .await
        .unwrap();
    sender.send(r#"{"message": "hi"}"#).await;
    assert_eq!(sender.frame_or_close().await, Err(1013));
    other.expect_silence().await;

    // It is well again as soon as the database is.
    app.ctx
        .db
        .execute_unprepared("ALTER TABLE gone RENAME TO events")
        .await
        .unwrap();
    let mut again = ann.open(&group).await;
    again.send(r#"{"message": "hi"}"#).await;
    assert_eq!(again.message().await, "now is [clock]");
    assert_eq!(other.message().await, "ann now is [clock]");
    assert_eq!(
        logs(&app).await[&1],
        [(1, "hi".to_owned())],
        "a number that was lost leaves no gap"
    );
}

/// Takes a group's log back, as a backup does that is restored under a running server.
async fn restore(app: &TestApp, head: i64) {
    for restore in [
        format!("DELETE FROM events WHERE seq > {head}"),
        format!("UPDATE chat_groups SET head = {head}, messages = {head}, last_message = {head}"),
    ] {
        app.ctx.db.execute_unprepared(&restore).await.unwrap();
    }
}

async fn until_ready(app: &TestApp) {
    until("the node to be ready", async || {
        app.get("/_readiness").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_log_that_went_back_stops_all_writes_until_another_epoch_begins() {
    let app = TestApp::with(json!({"channels": {"sweep_every": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut other = ann.live(&group).await;
    for cid in ["1", "2", "3"] {
        assert_eq!(ann.say(&group, "x", cid).await.status, 201);
        other.event().await;
    }
    restore(&app, 1).await;
    // The writer itself notices, before anything follows on what was lost.
    assert_eq!(ann.say(&group, "x", "4").await.status, 503);
    let readiness = app.get("/_readiness").await;
    assert_eq!(readiness.status, 503);
    assert_eq!(
        readiness.json(),
        json!({"ok": false, "reasons": ["log_behind"]})
    );
    // All ways to write are closed, and reading goes on.
    let account = json!({"name": "Bob", "username": "bob", "password": "the staple of bob"});
    assert_eq!(app.post("/api/register/", account).await.status, 503);
    let path = format!("/api/groups/{group}/");
    assert_eq!(ann.patch(&path, json!({"title": "x"})).await.status, 503);
    assert_eq!(ann.get(&path).await.status, 200);
    let mut base = ann.open(&group).await;
    base.send(r#"{"message": "x"}"#).await;
    let closed = loop {
        // Events that were delivered before are still shown.
        match base.frame_or_close().await {
            Ok(shown) => assert_eq!(shown, "ann now is [clock]"),
            Err(code) => break code,
        }
    };
    assert_eq!(closed, 1013);

    // The operator accepts the loss.
    let ended = epochs::Model::current(&app.ctx.db).await.unwrap();
    epochs::Model::begin_after(&app.ctx.db, Some(&ended.name))
        .await
        .unwrap();
    assert_eq!(other.bye_code().await, 4501);
    until_ready(&app).await;
    assert_eq!(ann.say(&group, "x", "5").await.status, 201);
    assert_eq!(logs(&app).await[&1].len(), 2);
}

#[tokio::test]
async fn a_log_that_went_back_unheard_is_found_by_the_sweep_and_may_come_back() {
    let app = TestApp::with(json!({"channels": {"sweep_every": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut other = ann.live(&group).await;
    for cid in ["1", "2", "3"] {
        assert_eq!(ann.say(&group, "x", cid).await.status, 201);
        other.event().await;
    }
    let db = &app.ctx.db;
    let back = "UPDATE chat_groups SET head = 1";
    db.execute_unprepared(back).await.unwrap();
    until("the node to be unready", async || {
        app.get("/_readiness").await.status == 503
    })
    .await;
    let whole = "UPDATE chat_groups SET head = 3";
    db.execute_unprepared(whole).await.unwrap();
    until_ready(&app).await;
    assert_eq!(ann.say(&group, "x", "4").await.status, 201);
    assert_eq!(other.event().await["seq"], 4, "no socket was closed");
}
