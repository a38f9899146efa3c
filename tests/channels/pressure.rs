//! Slow sockets, silent ones, and a server that stops.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Socket, TestApp};

/// Who does not read is told all of it later, and nobody else waits for it.
#[tokio::test]
async fn a_slow_socket_slows_nobody_and_misses_nothing() {
    const POSTS: usize = 3000;
    let app = TestApp::start().await;
    let long_name = "x".repeat(80);
    let ann = app.user(&long_name).await;
    let group = ann.start_chat().await;
    let path = format!("/ws/chat/{group}/");
    let mut slow = Socket::with_small_buffer(app.address, &path, &ann.cookie()).await;
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
    assert_eq!(app.channels().active_groups(), 0);
}
