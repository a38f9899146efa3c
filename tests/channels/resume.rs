//! A socket that resumes receives the events that it missed, or a reset.

use std::sync::Arc;

use insta::assert_snapshot;
use salam::models::{epochs, group_commands::GroupCommand};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{
    GroupPath, TestApp, TestDatabase, User, connected_nodes, message_without_actor, redact_frame,
    redact_frames, wait_until,
};

/// Returns the seqs of the events among the frames.
fn event_seqs(frames: &[Value]) -> Vec<i64> {
    let events = frames.iter().filter(|frame| frame["type"] == "event");
    events.map(|event| event["seq"].as_i64().unwrap()).collect()
}

/// Appends messages to the log of the first group.
async fn append_messages(app: &TestApp, count: usize) {
    let changes = (1..=count)
        .map(|i| message_without_actor(1, &i.to_string()))
        .collect();
    for outcome in GroupCommand::apply_all(&app.ctx.db, changes).await.unwrap() {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn missed_events_are_replayed_before_live_events() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 5).await;
    let mut socket = ann.open_rich(&group, "after=3").await;
    assert_eq!(socket.next_frame().await["type"], "hello");
    assert_snapshot!(redact_frames(&socket.until_sync().await), @r#"
    {"floor":0,"group":"[group]","head":5,"mode":"replay","online":["ann"],"read":0,"role":"owner","title":null,"type":"group","unread":5}
    {"at":"[now]","by":null,"data":{"text":"4"},"group":"[group]","kind":"message.created","seq":4,"type":"event"}
    {"at":"[now]","by":null,"data":{"text":"5"},"group":"[group]","kind":"message.created","seq":5,"type":"event"}
    {"group":"[group]","seq":5,"type":"sync"}
    "#);
    socket.send_message("live", "1").await;
    // This socket missed nothing.
    let frames = ann.open_rich(&group, "after=6").await.until_sync().await;
    assert_eq!(frames[1]["mode"], "replay");
    assert!(event_seqs(&frames).is_empty());
}

#[tokio::test]
async fn a_long_gap_is_read_from_the_log_page_by_page() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 501).await;
    for after in [1, 100, 300] {
        let mut socket = ann.open_rich(&group, &format!("after={after}")).await;
        let frames = socket.until_sync().await;
        assert_eq!(event_seqs(&frames), (after + 1..=501).collect::<Vec<_>>());
        assert_eq!(frames.last().unwrap()["seq"], 501);
    }
}

/// When many sockets reconnect to a busy group, the database is only queried for their sessions and
/// memberships.
#[tokio::test]
async fn a_short_gap_is_replayed_from_memory() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    for i in 0..20 {
        socket.send_message("x", &i.to_string()).await;
    }
    let away = "DELETE FROM events";
    app.ctx.db.execute_unprepared(away).await.unwrap();
    let frames = ann.open_rich(&group, "after=4").await.until_sync().await;
    assert_eq!(event_seqs(&frames), (5..=20).collect::<Vec<_>>());
}

/// The first socket that resumes reads the log for all sockets that follow.
#[tokio::test]
async fn a_gap_is_read_from_the_log_once_for_all_sockets() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 50).await;
    let mut live = ann.open_live(&group).await;
    live.send_message("x", "1").await;
    let first = ann.open_rich(&group, "after=10").await.until_sync().await;
    let away = "DELETE FROM events";
    app.ctx.db.execute_unprepared(away).await.unwrap();
    let second = ann.open_rich(&group, "after=10").await.until_sync().await;
    assert_eq!(event_seqs(&first), (11..=51).collect::<Vec<_>>());
    assert_eq!(event_seqs(&first), event_seqs(&second));
}

#[tokio::test]
async fn a_gap_that_cannot_be_replayed_sends_a_reset() {
    let app = TestApp::with_settings(json!({"channels": {"replay_limit": 5}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 7).await;
    let epoch = ann.open_rich(&group, "").await.next_frame().await["epoch"].clone();
    let epoch = epoch.as_str().unwrap();
    let mut report = String::new();
    for query in [
        "after=1".to_owned(),
        "after=8".to_owned(),
        format!("after={}", i64::MAX),
        "after=6&epoch=another".to_owned(),
        format!("after=1&epoch={epoch}"),
        format!("after=6&epoch={epoch}"),
        // A socket without `after` loses nothing.
        "epoch=another".to_owned(),
    ] {
        let mut socket = ann.open_rich(&group, &query).await;
        let frames = socket.until_sync().await;
        let received = frames[1..].iter().map(|frame| match &frame["type"] {
            kind if kind == "group" => format!("group {}", frame["mode"]),
            kind if kind == "event" => format!("event {}", frame["seq"]),
            _ => redact_frame(frame),
        });
        let received: Vec<_> = received.collect();
        report += &format!(
            "{}: {}\n",
            query.replace(epoch, "[epoch]"),
            received.join(" ")
        );
    }
    assert_snapshot!(report, @r#"
    after=1: group "reset" {"group":"[group]","head":7,"reason":"too_far","type":"reset"} {"group":"[group]","seq":7,"type":"sync"}
    after=8: group "reset" {"group":"[group]","head":7,"reason":"ahead","type":"reset"} {"group":"[group]","seq":7,"type":"sync"}
    after=9223372036854775807: group "reset" {"group":"[group]","head":7,"reason":"ahead","type":"reset"} {"group":"[group]","seq":7,"type":"sync"}
    after=6&epoch=another: group "reset" {"group":"[group]","head":7,"reason":"epoch","type":"reset"} {"group":"[group]","seq":7,"type":"sync"}
    after=1&epoch=[epoch]: group "reset" {"group":"[group]","head":7,"reason":"too_far","type":"reset"} {"group":"[group]","seq":7,"type":"sync"}
    after=6&epoch=[epoch]: group "replay" event 7 {"group":"[group]","seq":7,"type":"sync"}
    epoch=another: group "live" {"group":"[group]","seq":7,"type":"sync"}
    "#);
    // After a reset, the socket receives new events.
    let mut socket = ann.open_rich(&group, "after=100").await;
    socket.until_sync().await;
    assert_eq!(socket.send_message("live", "1").await["seq"], 8);
}

#[tokio::test]
async fn a_socket_may_subscribe_again_without_reconnecting() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 5).await;
    let mut socket = ann.open_live(&group).await;
    for (request, expected) in [
        (json!({"group": group, "after": 2}), vec![3, 4, 5]),
        (json!({"group": group, "after": 0}), vec![1, 2, 3, 4, 5]),
        (json!({"group": group}), vec![]),
    ] {
        let ok = socket
            .request(json!({"type": "sub", "groups": [request]}))
            .await;
        assert_eq!(ok["type"], "ok");
        assert_eq!(event_seqs(&socket.until_sync().await), expected);
    }
    let again =
        json!({"type": "sub", "epoch": "another", "groups": [{"group": group, "after": 2}]});
    socket.request(again).await;
    assert_eq!(socket.until_sync().await[1]["reason"], "epoch");
    socket.send_message("live", "1").await;
}

#[tokio::test]
async fn deleted_messages_are_replayed_without_their_text() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    socket.send_message("secret one", "1").await;
    socket.send_message("kept", "2").await;
    for request in [
        json!({"type": "edit", "seq": 1, "text": "secret two"}),
        json!({"type": "edit", "seq": 2, "text": "kept better"}),
        json!({"type": "delete", "seq": 1}),
    ] {
        socket.request(request).await;
        socket.next_event().await;
    }
    // From the buffer, from the log on another node, and by HTTP.
    let other = TestApp::start_node(app.database.clone(), json!({})).await;
    let here = ann.open_rich(&group, "after=0").await.until_sync().await;
    let there = ann
        .on_node(&other)
        .open_rich(&group, "after=0")
        .await
        .until_sync()
        .await;
    assert_eq!(here[2..], there[2..]);
    assert_snapshot!(redact_frames(&here[2..]), @r#"
    {"at":"[now]","by":"ann","cid":"1","data":{"deleted":true,"text":null},"group":"[group]","kind":"message.created","seq":1,"type":"event"}
    {"at":"[now]","by":"ann","cid":"2","data":{"edited":true,"text":"kept better"},"group":"[group]","kind":"message.created","seq":2,"type":"event"}
    {"at":"[now]","by":"ann","data":{"deleted":true,"seq":1,"text":null},"group":"[group]","kind":"message.edited","seq":3,"type":"event"}
    {"at":"[now]","by":"ann","data":{"seq":2,"text":"kept better"},"group":"[group]","kind":"message.edited","seq":4,"type":"event"}
    {"at":"[now]","by":"ann","data":{"seq":1},"group":"[group]","kind":"message.deleted","seq":5,"type":"event"}
    {"group":"[group]","seq":5,"type":"sync"}
    "#);
    let log = ann.get(&group.path("events/?after=0")).await;
    assert_eq!(log.json()["results"], json!(here[2..here.len() - 1]));
    let history = ann.get(&group.path("messages/")).await;
    assert!(!history.body.contains("secret"), "{history}");
    assert!(history.body.contains("kept better"), "{history}");
}

/// Reads the history, then subscribes from its position. Nothing is missing or doubled while others
/// send.
#[tokio::test]
async fn resuming_after_a_history_page_leaves_no_gap() {
    const MESSAGES: i64 = 300;
    const READERS: usize = 8;
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let sending = async {
        let mut socket = ann.open_live(&group).await;
        for i in 0..MESSAGES {
            socket.send_message("x", &i.to_string()).await;
        }
    };
    let reading = (0..READERS).map(|_| async {
        let page = ann.get(&group.path("messages/?limit=100")).await.json();
        let position = page["position"].as_i64().unwrap();
        let mut socket = ann.open_rich(&group, &format!("after={position}")).await;
        let mut received = event_seqs(&socket.until_sync().await);
        while received.last().copied().unwrap_or(position) < MESSAGES {
            received.push(socket.next_event().await["seq"].as_i64().unwrap());
        }
        assert_eq!(received, (position + 1..=MESSAGES).collect::<Vec<_>>());
        let shown = page["results"].as_array().unwrap();
        // The newest message may be newer than the position, because the position is read first.
        let newest = shown
            .first()
            .map_or(0, |message| message["seq"].as_i64().unwrap());
        assert!(newest >= position);
    });
    tokio::join!(sending, futures_util::future::join_all(reading));
}

/// Follows the log like the client of docs/protocol.md: the client applies the next seq only.
async fn follow_with_reconnects(
    user: &User<'_>,
    nodes: &[&TestApp],
    group: &str,
    until: i64,
    drop_after: usize,
) {
    let mut last = 0;
    let mut node = 0;
    while last < until {
        node += 1;
        let user = user.on_node(nodes[node % nodes.len()]);
        let mut socket = user.open_rich(group, &format!("after={last}")).await;
        for _ in 0..drop_after + node % 3 {
            let frame = socket.next_frame().await;
            assert_ne!(frame["type"], "reset", "{frame}");
            if frame["type"] == "event" {
                assert_eq!(frame["seq"], last + 1, "{frame}");
                last += 1;
            }
            if last == until {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_switches_nodes_misses_no_events() {
    const MESSAGES: i64 = 200;
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let sending = [&here, &there].map(|node| {
        let (ann, group) = (ann.on_node(node), &group);
        async move {
            let mut socket = ann.open_live(group).await;
            for i in 0..MESSAGES / 2 {
                let cid = format!("{}/{i}", node.address);
                socket
                    .request_collecting(json!({"type": "send", "cid": cid, "text": "x"}))
                    .await;
            }
        }
    });
    let [near, far] = sending;
    let nodes = [&here, &there];
    tokio::join!(
        near,
        far,
        follow_with_reconnects(&ann, &nodes, &group, MESSAGES, 3),
        follow_with_reconnects(&ann, &nodes, &group, MESSAGES, 7),
        follow_with_reconnects(&ann, &nodes, &group, MESSAGES, 40),
    );
}

/// An operator restores a backup while servers run, and begins a new epoch.
#[tokio::test]
async fn a_new_epoch_closes_all_sockets() {
    let database = Arc::new(TestDatabase::create().await);
    let often = json!({"channels": {"sweep_every": 1}});
    let app = TestApp::start_node(database, often).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    append_messages(&app, 3).await;
    let mut socket = ann.open_rich(&group, "").await;
    let old = socket.until_sync().await[0]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let begin = || epochs::Model::begin_next(&app.ctx.db, Some(&old));
    let new = begin().await.unwrap();
    assert_ne!(old, new.name);
    assert_eq!(begin().await.unwrap(), new, "once");
    // All sockets close, so that they reconnect and start over.
    let (bye, code) = socket.bye().await;
    assert_eq!((code, &bye["reconnect"]), (4501, &json!(true)));
    let query = format!("after=3&epoch={old}");
    let frames = ann.open_rich(&group, &query).await.until_sync().await;
    assert_eq!(frames[0]["epoch"], new.name);
    assert_eq!(frames[2]["reason"], "epoch");
    ann.open_live(&group).await.send_message("anew", "1").await;
}

/// The restored database has an epoch that clients may know from before.
#[tokio::test]
async fn a_restored_database_starts_a_new_epoch() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let first = epochs::Model::current(&app.ctx.db).await.unwrap();
    let second = epochs::Model::begin_next(&app.ctx.db, Some(&first.name))
        .await
        .unwrap();
    wait_until("the second life", async || {
        ann.open_rich(&group, "").await.next_frame().await["epoch"] == second.name
    })
    .await;
    let restore = format!("DELETE FROM epochs WHERE id = {}", second.id);
    app.ctx.db.execute_unprepared(&restore).await.unwrap();
    wait_until("a third life", async || {
        let epoch = ann.open_rich(&group, "").await.next_frame().await["epoch"].clone();
        epoch != first.name && epoch != second.name
    })
    .await;
}
