//! Slow sockets, silent ones, and a server that stops.

use salam::channels::{broker::Redis, protocol::Post};
use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{PATIENCE, RedisServer, Socket, TestApp};

#[tokio::test]
async fn a_slow_socket_loses_its_place_and_slows_nobody() {
    let redis = RedisServer::start().await;
    let app =
        TestApp::with(json!({"channels": {"queue_limit": 16, "redis_url": redis.url()}})).await;
    app.until_redis_is_connected().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let path = format!("/ws/chat/{group}/");
    let mut slow = Socket::with_small_buffer(app.address, &path, &ann.cookie()).await;
    let mut reader = ann.open(&group).await;

    // Another node, where somebody has a very long name: it fills the kernel's buffers sooner.
    let (other_node, _inbox) = Redis::open(&redis.url().parse().unwrap(), "salam-test");
    other_node.connected(PATIENCE).await.unwrap();
    // The hub believes the log alone, so the log's head is where that node will have brought it.
    let head = "UPDATE chat_groups SET head = 10000";
    app.ctx.db.execute_unprepared(head).await.unwrap();
    let name = "x".repeat(8000);
    let mut sent = 0;
    while app.channels().listeners() == 2 {
        assert!(sent < 10_000, "the slow socket never lost its place");
        sent += 1;
        let post = Post::message(sent, Some(name.clone()));
        other_node
            .publish(&group, post.encode())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(reader.message().await, format!("{name} now is [clock]"));
    }
    assert_eq!(slow.close_code().await, 4508);
    reader.expect_silence().await;
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
