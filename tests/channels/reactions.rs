//! Reactions on sockets.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, connected_nodes, redact_frames};

fn react_request(seq: i64, emoji: &str, on: bool) -> Value {
    json!({"type": "react", "seq": seq, "emoji": emoji, "on": on})
}

fn with_cid(mut request: Value, cid: &str) -> Value {
    request["cid"] = json!(cid);
    request
}

#[tokio::test]
async fn a_reaction_is_broadcast_once_on_all_nodes() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut near = ann.open_live(&group).await;
    let mut far = bob.on_node(&there).open_live(&group).await;
    let mut base = bob.open_base(&group).await;
    assert_eq!(near.send_message("hi", "c").await, far.next_event().await);
    assert_eq!(base.next_message().await, "ann now is [clock]");

    let mut transcript = String::new();
    for (request, changes) in [
        (with_cid(react_request(2, "❤", true), "r1"), true),
        // The reaction exists already, in another form of the emoji and with another id; then the same
        // request again.
        (react_request(2, "❤️", true), false),
        (with_cid(react_request(2, "❤", true), "r2"), false),
        (react_request(2, "👍", true), true),
        (with_cid(react_request(2, "❤️", true), "r1"), false),
        (with_cid(react_request(2, "❤", false), "r1"), false),
        (with_cid(react_request(2, "👍", true), "r1"), false),
        (with_cid(react_request(2, "❤", false), "r3"), true),
        (react_request(2, "❤", false), false),
        (with_cid(react_request(2, "❤", false), "r3"), false),
        // The first request gets its first reply, and is not applied again.
        (with_cid(react_request(2, "❤", true), "r1"), false),
    ] {
        transcript += &format!("{request}\n");
        transcript += &redact_frames(&[far.request(request).await]);
        if changes {
            let event = far.next_event().await;
            assert_eq!(near.next_event().await, event);
            transcript += &redact_frames(&[event]);
        }
    }
    assert_snapshot!(transcript, @r#"
    {"cid":"r1","emoji":"❤","on":true,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r1","id":1,"seq":3,"type":"ok"}
    {"at":"[now]","by":"bob","cid":"r1","data":{"emoji":"❤️","seq":2},"group":"[group]","kind":"reaction.added","seq":3,"type":"event"}
    {"emoji":"❤️","on":true,"seq":2,"type":"react"}
    {"at":"[now]","dup":true,"id":2,"seq":3,"type":"ok"}
    {"cid":"r2","emoji":"❤","on":true,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r2","dup":true,"id":3,"seq":3,"type":"ok"}
    {"emoji":"👍","on":true,"seq":2,"type":"react"}
    {"at":"[now]","id":4,"seq":4,"type":"ok"}
    {"at":"[now]","by":"bob","data":{"emoji":"👍","seq":2},"group":"[group]","kind":"reaction.added","seq":4,"type":"event"}
    {"cid":"r1","emoji":"❤️","on":true,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r1","dup":true,"id":5,"seq":3,"type":"ok"}
    {"cid":"r1","emoji":"❤","on":false,"seq":2,"type":"react"}
    {"code":"cid_reused","field":null,"id":6,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    {"cid":"r1","emoji":"👍","on":true,"seq":2,"type":"react"}
    {"code":"cid_reused","field":null,"id":7,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    {"cid":"r3","emoji":"❤","on":false,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r3","id":8,"seq":5,"type":"ok"}
    {"at":"[now]","by":"bob","cid":"r3","data":{"emoji":"❤️","seq":2},"group":"[group]","kind":"reaction.removed","seq":5,"type":"event"}
    {"emoji":"❤","on":false,"seq":2,"type":"react"}
    {"at":"[now]","dup":true,"id":9,"seq":5,"type":"ok"}
    {"cid":"r3","emoji":"❤","on":false,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r3","dup":true,"id":10,"seq":5,"type":"ok"}
    {"cid":"r1","emoji":"❤","on":true,"seq":2,"type":"react"}
    {"at":"[now]","cid":"r1","dup":true,"id":11,"seq":3,"type":"ok"}
    "#);
    near.expect_no_frames().await;
    far.expect_no_frames().await;
    base.expect_no_frames().await;
    // A socket that resumes receives the same events.
    let replay = ann.open_rich(&group, "after=2").await.until_sync().await;
    let kinds: Vec<_> = replay
        .iter()
        .filter_map(|frame| frame["kind"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(
        kinds,
        ["reaction.added", "reaction.added", "reaction.removed"]
    );
}

/// Sockets of one user that send the same reaction at the same time.
#[tokio::test]
async fn concurrent_identical_reactions_make_one_event() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    ann.send_message(&group, "hi", "c").await;
    let mut receiver = ann.open_live(&group).await;
    let mut head = 1;
    // The rate limit allows a burst of ten changes of each reaction.
    for round in 0..10 {
        let (on, emoji) = (round % 2 == 0, ["👍", "🎉", "❤️", "😀", "😢"][round / 2]);
        let mut sockets = Vec::new();
        for node in [&here, &there, &here, &there] {
            sockets.push(ann.on_node(node).open_live(&group).await);
        }
        let replies = sockets.iter_mut().map(|socket| async {
            let (reply, _) = socket.request_collecting(react_request(1, emoji, on)).await;
            reply
        });
        let replies = futures_util::future::join_all(replies).await;
        head += 1;
        let firsts = replies.iter().filter(|reply| reply.get("dup").is_none());
        assert_eq!(firsts.count(), 1, "{replies:?}");
        assert!(
            replies.iter().all(|reply| reply["seq"] == head),
            "{replies:?}"
        );
        let kind = if on {
            "reaction.added"
        } else {
            "reaction.removed"
        };
        let event = receiver.next_event().await;
        assert_eq!(
            (&event["seq"], &event["kind"]),
            (&json!(head), &json!(kind))
        );
    }
    receiver.expect_no_frames().await;
}

#[tokio::test]
async fn reactions_of_a_kicked_member_stay() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    ann.send_message(&group, "hi", "c").await;
    let mut bobs = bob.open_live(&group).await;
    bobs.request(react_request(2, "👍", true)).await;
    bobs.next_event().await;
    ann.delete(&group.path("members/bob/")).await;
    assert_eq!(bobs.bye_code().await, 4403);
    let history = ann.get(&group.path("messages/")).await;
    let reactions = &history.json()["results"][0]["reactions"];
    assert_eq!(
        *reactions,
        json!([{"emoji": "👍", "count": 1, "mine": false, "by": ["bob"]}])
    );
}

#[tokio::test]
async fn a_reaction_counts_toward_the_send_rate_limit() {
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 2}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    socket.send_message("hi", "c").await;
    assert_eq!(
        socket.request(react_request(1, "👍", true)).await["type"],
        "ok"
    );
    socket.next_event().await;
    let rejected = socket.request(react_request(1, "👍", false)).await;
    assert_eq!(rejected["code"], "rate_limited", "{rejected}");
}
