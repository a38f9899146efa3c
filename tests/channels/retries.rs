//! A request that is sent again is done once.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::nodes::connected_nodes;
use crate::support::{RedisServer, TestApp, all_shown};

fn send(cid: &str, text: &str) -> Value {
    json!({"type": "send", "cid": cid, "text": text})
}

/// A reply without the number of its request.
fn without_id(mut reply: Value) -> Value {
    reply.as_object_mut().unwrap().remove("id");
    reply
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_on_every_node_and_after_a_restart() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    let mut near = ann.live(&group).await;
    let mut first = near.done(send("c1", "hi")).await;
    near.event().await;
    first["dup"] = json!(true);
    let first = without_id(first);

    let mut far = ann.at(&there).live(&group).await;
    assert_eq!(without_id(near.done(send("c1", "hi")).await), first);
    assert_eq!(without_id(far.done(send("c1", "hi")).await), first);
    here.stop().await;
    let restarted = TestApp::node(here.database.clone(), json!({})).await;
    let mut again = ann.at(&restarted).live(&group).await;
    assert_eq!(without_id(again.done(send("c1", "hi")).await), first);
    // Nobody was told twice.
    far.expect_silence().await;
    again.expect_silence().await;
    // And by the REST API it is the same request.
    let answer = ann.at(&there).say(&group, "hi", "c1").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["seq"]),
        (200, &first["seq"])
    );
}

#[tokio::test]
async fn an_id_stands_for_one_request_of_one_author_in_one_group() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut socket = ann.live(&group).await;
    socket.says("hi", "c").await;
    let mut told = Vec::new();
    for request in [
        send("c", "hi"),
        send("c", "hi!"),
        json!({"type": "send", "cid": "c", "text": "hi", "reply_to": 2}),
        json!({"type": "edit", "cid": "c", "seq": 2, "text": "hi"}),
        json!({"type": "delete", "cid": "c", "seq": 2}),
    ] {
        told.push(socket.done(request).await);
    }
    assert_snapshot!(all_shown(&told), @r#"
    {"at":"[now]","cid":"c","dup":true,"id":2,"seq":2,"type":"ok"}
    {"code":"cid_reused","field":null,"id":3,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":4,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":5,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":6,"message":"This id was used for something else.","retry":false,"retry_after_ms":null,"type":"error"}
    "#);
    // Of another author, and in another group, it is another request.
    assert_eq!(bob.say(&group, "hi!", "c").await.status, 201);
    assert_eq!(
        ann.say(&ann.start_chat().await, "hi!", "c").await.status,
        201
    );
    assert_eq!(socket.event().await["by"], "bob");

    // Edits and deletions are done once too; and what was deleted stays so, whoever repeats it.
    let edit = json!({"type": "edit", "cid": "e", "seq": 2, "text": "hi!"});
    let delete = json!({"type": "delete", "cid": "d", "seq": 2});
    for request in [&edit, &delete] {
        let first = socket.done(request.clone()).await;
        assert_eq!(socket.event().await["seq"], first["seq"]);
        let again = socket.done(request.clone()).await;
        assert_eq!(
            (&again["dup"], &again["seq"]),
            (&json!(true), &first["seq"])
        );
    }
    for request in [send("c", "hi"), edit, delete] {
        let again = socket.done(request).await;
        assert_eq!(again["dup"], true, "{again}");
    }
    let gone = socket.done(json!({"type": "delete", "seq": 2})).await;
    assert_eq!(gone["code"], "gone");
    socket.expect_silence().await;
    let log = ann.get(&format!("/api/groups/{group}/events/")).await;
    assert!(!log.body.contains("\"hi\""), "{log}");
}

/// A client that does not know which of its tries arrived makes them all at once.
#[tokio::test]
async fn tries_at_the_same_moment_are_one_request() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    for round in 0..10 {
        let cid = format!("c{round}");
        let tries = (0..8).map(|i| {
            let ann = ann.at([&here, &there][i % 2]);
            let (group, cid) = (&group, &cid);
            async move { ann.say(group, "hi", cid).await }
        });
        let answers = futures_util::future::join_all(tries).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{}", answers[0]);
        for answer in &answers {
            assert_eq!(answer.json()["seq"], round + 1, "{answer}");
        }
    }
}
