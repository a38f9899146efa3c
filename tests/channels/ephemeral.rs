//! Ephemeral events: typing and read receipts.

use axum::body::Bytes;
use insta::assert_snapshot;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use super::broker::node_with_secret;
use crate::support::{
    GroupPath, RichSocket, TestApp, connected_nodes, redact_frames, with_timeout,
};

/// Returns the next `count` frames, and proves that no other frame follows.
async fn next_ephemeral_frames(socket: &mut RichSocket, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.push(socket.next_frame().await);
    }
    socket.expect_no_frames().await;
    frames
}

#[tokio::test]
async fn read_receipts_are_broadcast_on_all_nodes_and_stored() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut anns = ann.on_node(&there).open_live(&group).await;
    let mut phone = bob.open_live(&group).await;
    let mut laptop = bob.on_node(&there).open_live(&group).await;
    let mut base = bob.open_base(&group).await;
    for i in 0..3 {
        anns.send_message("x", &i.to_string()).await;
        phone.next_event().await;
        laptop.next_event().await;
        assert_eq!(base.next_message().await, "ann now is [clock]");
    }
    let read = |seq: Value| json!({"type": "read", "group": group, "seq": seq}).to_string();
    phone.send_raw(read(json!(3))).await;
    let receipts = next_ephemeral_frames(&mut anns, 1).await;
    assert_snapshot!(redact_frames(&receipts), @r#"{"group":"[group]","seq":3,"type":"read","user":"bob"}"#);
    assert_eq!(
        next_ephemeral_frames(&mut laptop, 1).await,
        receipts,
        "bob's other devices receive it"
    );
    assert_eq!(next_ephemeral_frames(&mut phone, 1).await, receipts);
    // A read position never goes back, and never goes beyond the head.
    phone.send_raw(read(json!(2))).await;
    laptop.send_raw(read(json!(3))).await;
    phone.send_raw(read(json!(4711))).await;
    for socket in [&mut anns, &mut laptop, &mut phone] {
        assert_eq!(next_ephemeral_frames(socket, 1).await[0]["seq"], 4);
    }
    let shown = bob.get(&group.path("")).await.json();
    assert_eq!((&shown["read"], &shown["unread"]), (&json!(4), &json!(0)));
    // The REST API sets the same read position.
    anns.send_message("x", "3").await;
    for socket in [&mut phone, &mut laptop] {
        socket.next_event().await;
    }
    let path = group.path("read/");
    let put = async |seq: Value| {
        let request = here
            .request(reqwest::Method::PUT, &path)
            .bearer_auth(&bob.access);
        crate::support::TestResponse::from_request(request.json(&json!({"seq": seq}))).await
    };
    assert_eq!(put(json!(3)).await.json()["unread"], 1);
    assert_eq!(put(json!(5)).await.json()["unread"], 0);
    assert_eq!(next_ephemeral_frames(&mut anns, 1).await[0]["seq"], 5);
    for wrong in [Value::Null, json!(-1), json!("5")] {
        assert_eq!(put(wrong).await.status, 400);
    }
    assert_eq!(base.next_message().await, "ann now is [clock]");
    base.expect_no_frames().await;
}

#[tokio::test]
async fn typing_is_broadcast_to_others_and_throttled() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    let mut bobs = bob.open_live(&group).await;
    let typing = |on: bool| json!({"type": "typing", "group": group, "on": on}).to_string();
    for _ in 0..20 {
        bobs.send_raw(typing(true)).await;
    }
    bobs.expect_no_frames().await;
    assert_snapshot!(redact_frames(&next_ephemeral_frames(&mut anns, 1).await), @r#"{"group":"[group]","on":true,"type":"typing","user":"bob"}"#);
    // A message ends the typing.
    bobs.send_message("hi", "1").await;
    let frames = [anns.next_frame().await, anns.next_frame().await];
    let ends = frames
        .iter()
        .find(|frame| frame["type"] == "typing")
        .unwrap();
    assert_eq!(ends["on"], false);
    // Rapid changes between on and off are not broadcast.
    for _ in 0..20 {
        bobs.send_raw(typing(true)).await;
        bobs.send_raw(typing(false)).await;
    }
    bobs.expect_no_frames().await;
    anns.expect_no_frames().await;
    // Typing ends with its socket, and by a timeout.
    anns.send_raw(typing(true)).await;
    assert_eq!(bobs.next_frame().await["on"], true);
    drop(anns);
    assert_eq!(bobs.next_frame().await["on"], false);
    let mut again = ann.open_live(&group).await;
    again.send_raw(typing(true)).await;
    assert_eq!(bobs.next_frame().await["on"], true);
    assert_eq!(
        bobs.next_frame().await["on"],
        false,
        "by the typing timeout"
    );
}

#[tokio::test]
async fn invalid_typing_and_read_frames_get_an_error_reply() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    let mut replies = String::new();
    for frame in [
        json!({"type": "read"}),
        json!({"type": "read", "group": group}),
        json!({"type": "read", "group": group, "seq": -1}),
        json!({"type": "read", "group": "chat_00000000", "seq": 1}),
        json!({"type": "typing", "group": group}),
        json!({"type": "typing", "group": group, "on": "yes"}),
        json!({"type": "typing", "group": "chat_00000000", "on": true}),
    ] {
        socket.send_raw(frame.to_string()).await;
        let error = socket.next_frame().await;
        replies += &format!("{} {} {}\n", error["id"], error["code"], error["field"]);
    }
    assert_snapshot!(replies, @r#"
    null "invalid" "group"
    null "invalid" "seq"
    null "invalid" "seq"
    null "not_member" "group"
    null "invalid" "on"
    null "invalid" "on"
    null "not_member" "group"
    "#);
    // An empty log has nothing to read, and 0 is before the first event.
    for seq in [5, 0] {
        socket
            .send_raw(json!({"type": "read", "group": group, "seq": seq}).to_string())
            .await;
    }
    socket.expect_no_frames().await;
}

/// A position that is already read, or beyond the head, causes no query.
#[tokio::test]
async fn a_redundant_read_receipt_makes_no_query() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "x", "1").await;
    let mut socket = ann.open_live(&group).await;
    // A write to the database would wait for this transaction, until the test fails.
    let busy = app.ctx.db.begin().await.unwrap();
    let hold = "UPDATE chat_groups SET title = title";
    busy.execute_unprepared(hold).await.unwrap();
    for seq in (1..20).chain([4711]) {
        let read = json!({"type": "read", "group": group, "seq": seq});
        socket.send_raw(read.to_string()).await;
    }
    socket.expect_no_frames().await;
    busy.rollback().await.unwrap();
    let shown = ann.get(&group.path("")).await.json();
    assert_eq!((&shown["read"], &shown["unread"]), (&json!(1), &json!(0)));
}

/// The result does not depend on the order in which two nodes receive the positions.
#[tokio::test]
async fn read_receipts_from_two_devices_never_go_back() {
    const MESSAGES: i64 = 60;
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    for i in 0..MESSAGES {
        ann.send_message(&group, "x", &i.to_string()).await;
    }
    let mut near = ann.open_live(&group).await;
    let mut far = ann.on_node(&there).open_live(&group).await;
    let mut phone = bob.open_live(&group).await;
    let mut laptop = bob.on_node(&there).open_live(&group).await;
    let reads = async |socket: &mut RichSocket, first: i64| {
        // Two steps forward, one step back.
        for seq in (first..=MESSAGES + 1)
            .step_by(2)
            .flat_map(|seq| [seq, seq - 1])
        {
            let read = json!({"type": "read", "group": group, "seq": seq.max(1)});
            socket.send_raw(read.to_string()).await;
        }
    };
    let watches = async |socket: &mut RichSocket| {
        let mut last = 0;
        while last <= MESSAGES {
            let frame = socket.next_frame().await;
            assert_eq!(frame["type"], "read");
            let seq = frame["seq"].as_i64().unwrap();
            assert!(seq > last, "{seq} after {last}");
            last = seq;
        }
    };
    tokio::join!(
        reads(&mut phone, 1),
        reads(&mut laptop, 2),
        watches(&mut near),
        watches(&mut far)
    );
    let shown = bob.get(&group.path("")).await.json();
    assert_eq!((&shown["read"], &shown["unread"]), (&json!(61), &json!(0)));
}

/// The node of a typing user has died, so no node announces the end of the typing.
#[tokio::test]
async fn typing_ends_after_its_node_has_died() {
    let (redis, here, _there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    let (dead, inbox) = node_with_secret(&redis.url(), &here.secret()).await;
    let epoch = salam::models::epochs::Model::current(&here.ctx.db).await;
    dead.set_epoch(&epoch.unwrap().name);
    let typing = json!({"type": "typing", "group": group, "user": "bob", "on": true});
    let published = dead.publish(&group, Bytes::from(typing.to_string()));
    with_timeout("Redis to accept it", published).await.unwrap();
    drop((dead, inbox));
    assert_eq!(socket.next_frame().await["on"], true);
    let ends = socket.next_frame().await;
    assert_eq!(
        (&ends["type"], &ends["user"], &ends["on"]),
        (&json!("typing"), &json!("bob"), &json!(false)),
        "by the typing timeout"
    );
    socket.expect_no_frames().await;
}
