//! A repeated request is applied once.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, connected_nodes, redact_frames};

fn send_request(cid: &str, text: &str) -> Value {
    json!({"type": "send", "cid": cid, "text": text})
}

/// Removes the request's id from a reply.
fn without_id(mut reply: Value) -> Value {
    reply.as_object_mut().unwrap().remove("id");
    reply
}

#[tokio::test]
async fn a_retry_gets_the_first_reply_on_every_node_and_after_a_restart() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut near = ann.open_live(&group).await;
    let mut first = near.request(send_request("c1", "hi")).await;
    near.next_event().await;
    first["dup"] = json!(true);
    let first = without_id(first);

    let mut far = ann.on_node(&there).open_live(&group).await;
    assert_eq!(
        without_id(near.request(send_request("c1", "hi")).await),
        first
    );
    assert_eq!(
        without_id(far.request(send_request("c1", "hi")).await),
        first
    );
    here.stop().await;
    let restarted = TestApp::start_node(here.database.clone(), json!({})).await;
    let mut again = ann.on_node(&restarted).open_live(&group).await;
    assert_eq!(
        without_id(again.request(send_request("c1", "hi")).await),
        first
    );
    // No socket received the event twice.
    far.expect_no_frames().await;
    again.expect_no_frames().await;
    // By the REST API, it is the same request.
    let response = ann.on_node(&there).send_message(&group, "hi", "c1").await;
    assert_eq!(
        (response.status.as_u16(), &response.json()["seq"]),
        (200, &first["seq"])
    );
}

#[tokio::test]
async fn a_cid_identifies_one_request_per_author_and_group() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut socket = ann.open_live(&group).await;
    socket.send_message("hi", "c").await;
    let mut replies = Vec::new();
    for request in [
        send_request("c", "hi"),
        send_request("c", "hi!"),
        json!({"type": "send", "cid": "c", "text": "hi", "reply_to": 2}),
        json!({"type": "edit", "cid": "c", "seq": 2, "text": "hi"}),
        json!({"type": "delete", "cid": "c", "seq": 2}),
    ] {
        replies.push(socket.request(request).await);
    }
    assert_snapshot!(redact_frames(&replies), @r#"
    {"at":"[now]","cid":"c","dup":true,"id":2,"seq":2,"type":"ok"}
    {"code":"cid_reused","field":null,"id":3,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":4,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":5,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"cid_reused","field":null,"id":6,"message":"This id was used for another request.","retry":false,"retry_after_ms":null,"type":"error"}
    "#);
    // The same id of another author, or in another group, is another request.
    assert_eq!(bob.send_message(&group, "hi!", "c").await.status, 201);
    assert_eq!(
        ann.send_message(&ann.start_chat().await, "hi!", "c")
            .await
            .status,
        201
    );
    assert_eq!(socket.next_event().await["by"], "bob");

    // Edits and deletions are applied once too. A deleted message stays deleted, even if its send is
    // repeated.
    let edit = json!({"type": "edit", "cid": "e", "seq": 2, "text": "hi!"});
    let delete = json!({"type": "delete", "cid": "d", "seq": 2});
    for request in [&edit, &delete] {
        let first = socket.request(request.clone()).await;
        assert_eq!(socket.next_event().await["seq"], first["seq"]);
        let again = socket.request(request.clone()).await;
        assert_eq!(
            (&again["dup"], &again["seq"]),
            (&json!(true), &first["seq"])
        );
    }
    for request in [send_request("c", "hi"), edit, delete] {
        let again = socket.request(request).await;
        assert_eq!(again["dup"], true, "{again}");
    }
    let deleted = socket.request(json!({"type": "delete", "seq": 2})).await;
    assert_eq!(deleted["code"], "gone");
    socket.expect_no_frames().await;
    let log = ann.get(&group.path("events/")).await;
    assert!(!log.body.contains("\"hi\""), "{log}");
}

/// A client that does not know which attempt arrived repeats all of them at the same time.
#[tokio::test]
async fn concurrent_retries_are_applied_once() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    for round in 0..10 {
        let cid = format!("c{round}");
        let tries = (0..8).map(|i| {
            let ann = ann.on_node([&here, &there][i % 2]);
            let (group, cid) = (&group, &cid);
            async move { ann.send_message(group, "hi", cid).await }
        });
        let responses = futures_util::future::join_all(tries).await;
        let created = responses
            .iter()
            .filter(|response| response.status == 201)
            .count();
        assert_eq!(created, 1, "{}", responses[0]);
        for response in &responses {
            assert_eq!(response.json()["seq"], round + 1, "{response}");
        }
    }
}
