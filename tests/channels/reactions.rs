//! Reactions, as they are told to sockets.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::nodes::connected_nodes;
use crate::support::{RedisServer, TestApp, all_shown};

fn react(seq: i64, emoji: &str, on: bool) -> Value {
    json!({"type": "react", "seq": seq, "emoji": emoji, "on": on})
}

fn with_cid(mut request: Value, cid: &str) -> Value {
    request["cid"] = json!(cid);
    request
}

#[tokio::test]
async fn a_reaction_is_told_on_all_nodes_once() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let (ann, bob) = (here.user("ann").await, here.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut near = ann.live(&group).await;
    let mut far = bob.at(&there).live(&group).await;
    let mut base = bob.open(&group).await;
    assert_eq!(near.says("hi", "c").await, far.event().await);
    assert_eq!(base.message().await, "ann now is [clock]");

    let mut told = String::new();
    for (request, changes) in [
        (with_cid(react(2, "❤", true), "r1"), true),
        // As it is already, in another form and with an id of its own; and the same request again.
        (react(2, "❤️", true), false),
        (with_cid(react(2, "❤", true), "r2"), false),
        (react(2, "👍", true), true),
        (with_cid(react(2, "❤️", true), "r1"), false),
        (with_cid(react(2, "❤", false), "r1"), false),
        (with_cid(react(2, "👍", true), "r1"), false),
        (with_cid(react(2, "❤", false), "r3"), true),
        (react(2, "❤", false), false),
        (with_cid(react(2, "❤", false), "r3"), false),
        // The first request is answered as it was, and not done again.
        (with_cid(react(2, "❤", true), "r1"), false),
    ] {
        told += &format!("{request}\n");
        told += &all_shown(&[far.done(request).await]);
        if changes {
            let event = far.event().await;
            assert_eq!(near.event().await, event);
            told += &all_shown(&[event]);
        }
    }
    assert_snapshot!(told, @r#"
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
    {"code":"cid_reused","field":null,"id":6,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
    {"cid":"r1","emoji":"👍","on":true,"seq":2,"type":"react"}
    {"code":"cid_reused","field":null,"id":7,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
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
    near.expect_silence().await;
    far.expect_silence().await;
    base.expect_silence().await;
    // Who comes back is told the same.
    let replay = ann.rich(&group, "after=2").await.until_sync().await;
    let kinds: Vec<_> = replay
        .iter()
        .filter_map(|frame| frame["kind"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(
        kinds,
        ["reaction.added", "reaction.added", "reaction.removed"]
    );
}

/// Two sockets of one user, each of which knows nothing of the other.
#[tokio::test]
async fn of_two_at_the_same_moment_one_is_an_event() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    ann.say(&group, "hi", "c").await;
    let mut listener = ann.live(&group).await;
    let mut head = 1;
    // Each of them may change ten times at once.
    for round in 0..10 {
        let (on, emoji) = (round % 2 == 0, ["👍", "🎉", "❤️", "😀", "😢"][round / 2]);
        let mut sockets = Vec::new();
        for node in [&here, &there, &here, &there] {
            sockets.push(ann.at(node).live(&group).await);
        }
        let replies = sockets.iter_mut().map(|socket| async {
            let (reply, _) = socket.reply_to(react(1, emoji, on)).await;
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
        let event = listener.event().await;
        assert_eq!(
            (&event["seq"], &event["kind"]),
            (&json!(head), &json!(kind))
        );
    }
    listener.expect_silence().await;
}

#[tokio::test]
async fn who_is_put_out_reacts_no_more_and_what_they_said_by_it_stays() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    ann.say(&group, "hi", "c").await;
    let mut bobs = bob.live(&group).await;
    bobs.done(react(2, "👍", true)).await;
    bobs.event().await;
    ann.delete(&format!("/api/groups/{group}/members/bob/"))
        .await;
    assert_eq!(bobs.bye_code().await, 4403);
    let history = ann.get(&format!("/api/groups/{group}/messages/")).await;
    let reactions = &history.json()["results"][0]["reactions"];
    assert_eq!(
        *reactions,
        json!([{"emoji": "👍", "count": 1, "mine": false, "by": ["bob"]}])
    );
}

#[tokio::test]
async fn a_reaction_counts_as_a_send() {
    let app = TestApp::with(json!({"channels": {"sends_per_10s": 2}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.live(&group).await;
    socket.says("hi", "c").await;
    assert_eq!(socket.done(react(1, "👍", true)).await["type"], "ok");
    socket.event().await;
    let refused = socket.done(react(1, "👍", false)).await;
    assert_eq!(refused["code"], "rate_limited", "{refused}");
}
