//! Slow sockets, silent sockets, and the shutdown of a server.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestApp, wait_until};

/// A slow socket receives all messages later, and no other socket waits for it.
#[tokio::test]
async fn a_slow_socket_delays_nobody_and_loses_nothing() {
    const POSTS: usize = 3000;
    // The test reads the slow socket only at the end. On a slow machine, the end comes after the default
    // times.
    let app =
        TestApp::with_settings(json!({"channels": {"stall_timeout": 3600, "pong_timeout": 3600}}))
            .await;
    let long_name = "x".repeat(80);
    let (group, [ann]) = app.group_of([&long_name]).await;
    let mut slow = ann.open_base_with_small_buffer(&group).await;
    let mut reader = ann.open_base(&group).await;
    let mut sender = ann.open_base(&group).await;
    // More bytes than the kernel's buffers and the buffer for the slow socket hold together.
    let arrival = format!("{long_name} now is [clock]");
    for _ in 0..POSTS {
        sender.send(r#"{"message": "x"}"#).await;
        assert_eq!(sender.next_message().await, "now is [clock]");
        assert_eq!(reader.next_message().await, arrival);
    }
    assert!(slow.next_message().await.starts_with("hi "));
    for _ in 0..POSTS {
        assert_eq!(slow.next_message().await, arrival);
    }
    for socket in [&mut slow, &mut reader, &mut sender] {
        socket.expect_no_frames().await;
    }
}

/// A rich socket receives the texts, so it can stall for good.
#[tokio::test]
async fn a_stalled_socket_is_closed_and_can_resume() {
    const MESSAGES: i64 = 400;
    let app = TestApp::with_settings(json!({"channels": {"stall_timeout": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut stalled = ann.open_rich_with_small_buffer(&group).await;
    let mut reader = ann.open_live(&group).await;
    for i in 0..MESSAGES {
        ann.send_message(&group, &"x".repeat(8000), &i.to_string())
            .await;
        assert_eq!(reader.next_event().await["seq"], i + 1);
    }
    wait_until("the stalled socket to close", async || {
        app.channels().counts_for_tests().subscribers == 1
    })
    .await;
    // The socket resumes after the last event that it received.
    let mut last = 0;
    loop {
        let frame = stalled.next_frame().await;
        match frame["type"].as_str() {
            Some("event") => last = frame["seq"].as_i64().unwrap(),
            Some("bye") => {
                assert_eq!(
                    (&frame["code"], &frame["reconnect"]),
                    (&json!(4508), &json!(true))
                );
                break;
            }
            _ => {}
        }
    }
    assert!(last < MESSAGES);
    let frames = ann
        .open_rich(&group, &format!("after={last}"))
        .await
        .until_sync()
        .await;
    assert_eq!(frames.last().unwrap()["seq"], MESSAGES);
    assert_eq!(i64::try_from(frames.len()).unwrap(), 3 + MESSAGES - last);
}

#[tokio::test]
async fn a_socket_without_pong_is_closed() {
    let app =
        TestApp::with_settings(json!({"channels": {"ping_every": 1, "pong_timeout": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    // The test does not read from this socket, so nobody answers its pings. The library answers the
    // pings of the other socket.
    let mut silent = ann.open_base(&group).await;
    let mut alive = ann.open_base(&group).await;
    tokio::select! {
        message = alive.next_message() => panic!("{message} came to a socket that only waits"),
        () = wait_until("the silent socket to close", async || {
            app.channels().counts_for_tests().subscribers == 1
        }) => {}
    }
    assert_eq!(silent.close_code().await, 4512);
    alive.expect_no_frames().await;
}

#[tokio::test]
async fn client_pings_are_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    socket
        .send_frame(Message::Ping("are you there".into()))
        .await;
    assert_eq!(
        socket.next_frame().await,
        Message::Pong("are you there".into())
    );
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1012() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut sockets = vec![ann.open_base(&group).await, ann.open_base(&group).await];
    let (_, codes) = tokio::join!(app.stop(), async {
        let mut codes = Vec::new();
        for socket in &mut sockets {
            codes.push(socket.close_code().await);
        }
        codes
    });
    assert_eq!(codes, [1012, 1012]);
    assert_eq!(app.channels().counts_for_tests().subscribers, 0);
}

/// The groups that were inactive for longest lose their buffers, and no socket misses an event.
#[tokio::test]
async fn event_buffers_of_all_groups_share_a_memory_limit() {
    const BUFFER_LIMIT: usize = 100_000;
    let app = TestApp::with_settings(json!({"channels": {"buffer_bytes": BUFFER_LIMIT}})).await;
    let ann = app.user("ann").await;
    let text = "x".repeat(5000);
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let group = ann.start_chat().await;
        let mut socket = ann.open_live(&group).await;
        for cid in ["1", "2", "3", "4", "5"] {
            assert_eq!(ann.send_message(&group, &text, cid).await.status, 201);
            socket.next_event().await;
        }
        sockets.push((group, socket));
    }
    wait_until("the oldest buffers to be evicted", async || {
        app.channels().counts_for_tests().buffered_bytes <= BUFFER_LIMIT
    })
    .await;
    assert!(
        app.channels().counts_for_tests().buffered_bytes > 0,
        "the newest stay"
    );
    for (group, socket) in &mut sockets {
        // A socket that resumes gets every event, from the log where the buffer is gone.
        let mut back = ann.open_rich(group, "after=0").await;
        let frames = back.until_sync().await;
        let events = frames.iter().filter(|frame| frame["type"] == "event");
        let seqs: Vec<_> = events.map(|frame| frame["seq"].clone()).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
        // The open socket still receives events.
        assert_eq!(ann.send_message(group, "y", "6").await.status, 201);
        assert_eq!(socket.next_event().await["seq"], 6);
    }
    drop(sockets);
    app.until_no_group_is_active().await;
    assert_eq!(app.channels().counts_for_tests().buffered_bytes, 0);
}
