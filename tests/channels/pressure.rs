//! Slow sockets, silent ones, and a server that stops.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestApp, until};

/// Who does not read is told all of it later, and nobody else waits for it.
#[tokio::test]
async fn a_slow_socket_slows_nobody_and_misses_nothing() {
    const POSTS: usize = 3000;
    let app = TestApp::start().await;
    let long_name = "x".repeat(80);
    let ann = app.user(&long_name).await;
    let group = ann.start_chat().await;
    let mut slow = ann.with_small_buffer(&group).await;
    let mut reader = ann.open(&group).await;
    let mut sender = ann.open(&group).await;
    // More than the kernel's buffers and what is kept for the slow take together.
    let arrival = format!("{long_name} now is [clock]");
    for _ in 0..POSTS {
        sender.send(r#"{"message": "x"}"#).await;
        assert_eq!(sender.message().await, "now is [clock]");
        assert_eq!(reader.message().await, arrival);
    }
    assert!(slow.message().await.starts_with("hi "));
    for _ in 0..POSTS {
        assert_eq!(slow.message().await, arrival);
    }
    for socket in [&mut slow, &mut reader, &mut sender] {
        socket.expect_silence().await;
    }
}

/// Rich sockets are told the texts too, and may be stuck for good.
#[tokio::test]
async fn a_socket_that_takes_nothing_for_long_is_closed_and_resumes() {
    const MESSAGES: i64 = 400;
    let app = TestApp::with(json!({"channels": {"stall_timeout": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut stuck = ann.rich_with_small_buffer(&group).await;
    let mut reader = ann.live(&group).await;
    for i in 0..MESSAGES {
        ann.say(&group, &"x".repeat(8000), &i.to_string()).await;
        assert_eq!(reader.event().await["seq"], i + 1);
    }
    crate::support::until("the stuck socket to go", async || {
        app.channels().listeners() == 1
    })
    .await;
    // What it did not take, it takes when it comes back.
    let mut last = 0;
    loop {
        let frame = stuck.frame().await;
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
        .rich(&group, &format!("after={last}"))
        .await
        .until_sync()
        .await;
    assert_eq!(frames.last().unwrap()["seq"], MESSAGES);
    assert_eq!(i64::try_from(frames.len()).unwrap(), 3 + MESSAGES - last);
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_closed() {
    let app = TestApp::with(json!({"channels": {"ping_every": 1, "pong_timeout": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    // Not read from, so its pings are not answered; the other's are, by the library.
    let mut silent = ann.open(&group).await;
    let mut alive = ann.open(&group).await;
    tokio::select! {
        message = alive.message() => panic!("{message} came to a socket that only waits"),
        () = crate::support::until("the silent socket to go", async || {
            app.channels().listeners() == 1
        }) => {}
    }
    assert_eq!(silent.close_code().await, 4512);
    alive.expect_silence().await;
}

#[tokio::test]
async fn pings_of_the_client_are_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    socket
        .send_frame(Message::Ping("are you there".into()))
        .await;
    assert_eq!(socket.frame().await, Message::Pong("are you there".into()));
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut sockets = vec![ann.open(&group).await, ann.open(&group).await];
    let (_, codes) = tokio::join!(app.stop(), async {
        let mut codes = Vec::new();
        for socket in &mut sockets {
            codes.push(socket.close_code().await);
        }
        codes
    });
    assert_eq!(codes, [1012, 1012]);
    assert_eq!(app.channels().listeners(), 0);
}

/// The groups that were quiet for longest give their events up, and nobody misses one.
#[tokio::test]
async fn the_buffers_of_all_groups_are_bounded_together() {
    const LIMIT: usize = 100_000;
    let app = TestApp::with(json!({"channels": {"buffer_bytes": LIMIT}})).await;
    let ann = app.user("ann").await;
    let text = "x".repeat(5000);
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let group = ann.start_chat().await;
        let mut socket = ann.live(&group).await;
        for cid in ["1", "2", "3", "4", "5"] {
            assert_eq!(ann.say(&group, &text, cid).await.status, 201);
            socket.event().await;
        }
        sockets.push((group, socket));
    }
    until("the oldest buffers to go", async || {
        app.channels().buffered_bytes() <= LIMIT
    })
    .await;
    assert!(app.channels().buffered_bytes() > 0, "the newest stay");
    for (group, socket) in &mut sockets {
        // A socket that resumes gets every event, from the log where the buffer is gone.
        let mut back = ann.rich(group, "after=0").await;
        let frames = back.until_sync().await;
        let events = frames.iter().filter(|frame| frame["type"] == "event");
        let seqs: Vec<_> = events.map(|frame| frame["seq"].clone()).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
        // The open socket goes on.
        assert_eq!(ann.say(group, "y", "6").await.status, 201);
        assert_eq!(socket.event().await["seq"], 6);
    }
    drop(sockets);
    app.until_no_group_is_active().await;
    assert_eq!(app.channels().buffered_bytes(), 0);
}
