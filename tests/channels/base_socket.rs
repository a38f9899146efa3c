//! The base mode, over real sockets.

use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame, FrameHeader,
        coding::{Data, OpCode},
    },
};

use crate::support::{Socket, TestApp};

#[tokio::test]
async fn a_base_socket_receives_a_greeting() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    assert_eq!(
        ann.connect_base(&group).await.next_message().await,
        "hi ann now is [clock]"
    );
}

#[tokio::test]
async fn a_socket_opens_without_a_trailing_slash() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = format!("/ws/chat/{}", ann.start_chat().await);
    let opened = Socket::with_headers(app.address, &path, &[("cookie", &ann.cookie())]).await;
    assert_eq!(
        opened.unwrap().next_message().await,
        "hi ann now is [clock]"
    );
}

#[tokio::test]
async fn every_json_frame_gets_one_reply_to_its_sender_only() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_base(&group).await;
    let mut other = ann.open_base(&group).await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let texts = [
        "{}",
        "[]",
        "0",
        "-1.5e300",
        "1e999",
        "\"text\"",
        "true",
        "null",
        " {} ",
        "{\"a\":{}}",
        "{\"message\":\"\"}",
        "{\"message\":5}",
        "{\"message\":null}",
        "{\"message\":[\"hi\"]}",
        "{\"Message\":\"hi\"}",
        "\"\\ud800\"",
        "{\"message\":\"\\ud800\"}",
        &deep,
    ];
    for text in texts {
        socket.send(text).await;
        assert_eq!(socket.next_message().await, "now is [clock]", "{text:.40}");
    }
    other.expect_no_frames().await;
}

#[tokio::test]
async fn many_frames_get_exactly_one_reply_each() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    for i in 0..200 {
        socket
            .send(json!({ "message": format!("message {i}") }).to_string())
            .await;
    }
    for _ in 0..200 {
        assert_eq!(socket.next_message().await, "now is [clock]");
    }
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn a_message_reaches_all_other_sockets_of_the_group_with_the_senders_name() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;

    let mut anns = ann.open_base(&group).await;
    let mut anns_other = ann.open_base(&group).await;
    let mut bobs = bob.open_base(&group).await;
    let mut elsewhere = bob.open_base(&bob.start_chat().await).await;

    anns.send(r#"{"message": "سلام"}"#).await;
    assert_eq!(anns.next_message().await, "now is [clock]");
    assert_eq!(anns_other.next_message().await, "ann now is [clock]");
    assert_eq!(bobs.next_message().await, "ann now is [clock]");
    bobs.send(r#"{"more": [], "message": "hi", "message": "again"}"#)
        .await;
    assert_eq!(bobs.next_message().await, "now is [clock]");
    assert_eq!(anns.next_message().await, "bob now is [clock]");
    for socket in [&mut anns, &mut bobs, &mut elsewhere] {
        socket.expect_no_frames().await;
    }
}

#[tokio::test]
async fn non_json_frames_close_the_socket() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let invalid_utf8 = Frame::from_payload(
        FrameHeader {
            opcode: OpCode::Data(Data::Text),
            mask: Some([1, 2, 3, 4]),
            ..Default::default()
        },
        vec![b'"', 0xff, b'"'].into(),
    );
    let table = [
        (1007, Message::text("hello")),
        (1007, Message::text("")),
        (1007, Message::text("{} {}")),
        (1007, Message::text("{'message': 'hi'}")),
        (1007, Message::Frame(invalid_utf8)),
        (1003, Message::binary("{}")),
        (1003, Message::binary("")),
        (1009, Message::text(json_string_of_length(65_537))),
        (1009, Message::text(json_string_of_length(1_000_000))),
        (1009, Message::binary(vec![0; 65_537])),
    ];
    for (code, message) in table {
        let mut socket = ann.open_base(&group).await;
        let shown = format!("{message:?}").chars().take(40).collect::<String>();
        socket.send_frame(message).await;
        assert_eq!(socket.close_code().await, code, "{shown}");
    }
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn a_frame_at_the_size_limit_is_accepted() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    socket.send(json_string_of_length(65_536)).await;
    assert_eq!(socket.next_message().await, "now is [clock]");
}

#[tokio::test]
async fn the_last_socket_of_a_group_unsubscribes_the_topic() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let first = ann.open_base(&group).await;
    let second = ann.open_base(&group).await;
    assert_eq!(app.channels().counts_for_tests().active_groups, 1);
    drop(first);
    drop(second);
    app.until_no_group_is_active().await;
}

/// Returns a JSON string of `bytes` bytes.
fn json_string_of_length(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    assert_eq!(socket.close(1000).await, Some(1000));
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn an_oversized_frame_still_gets_its_close_code() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let socket = ann.open_base(&ann.start_chat().await).await;
    assert_eq!(
        socket
            .close_code_after_flood(json_string_of_length(8_000_000))
            .await,
        1009
    );
}

#[tokio::test]
async fn a_base_socket_closes_when_its_session_expires() {
    let app = TestApp::with_settings(json!({"tokens": {"refresh_lifetime": 2}})).await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    assert_eq!(socket.close_code().await, 4401);
}

/// The room writes straight to sockets that have nothing pending. A socket that has just sent a message
/// receives events from its own task, which leaves out the socket's own messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_base_socket_receives_every_message_but_its_own() {
    const RICH_MESSAGES: usize = 600;
    const BASE_MESSAGES: usize = 60;
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut flood = ann.open_live(&group).await;
    let mut sender = bob.open_base(&group).await;
    let mut receiver = bob.open_base(&group).await;
    let sending = async {
        let mut received = Vec::new();
        for _ in 0..BASE_MESSAGES {
            sender.send(r#"{"message": "in between"}"#).await;
            loop {
                received.push(sender.next_message().await);
                if received.last().is_some_and(|last| last == "now is [clock]") {
                    break;
                }
            }
        }
        while received.len() < RICH_MESSAGES + BASE_MESSAGES {
            received.push(sender.next_message().await);
        }
        received
    };
    let receiving = async {
        let mut received = Vec::new();
        while received.len() < RICH_MESSAGES + BASE_MESSAGES {
            received.push(receiver.next_message().await);
        }
        received
    };
    let (by_sender, by_receiver, ()) =
        tokio::join!(sending, receiving, flood.send_many(RICH_MESSAGES));
    let count =
        |received: &[String], text: &str| received.iter().filter(|one| **one == text).count();
    assert_eq!(count(&by_sender, "ann now is [clock]"), RICH_MESSAGES);
    assert_eq!(count(&by_sender, "now is [clock]"), BASE_MESSAGES);
    assert_eq!(count(&by_receiver, "ann now is [clock]"), RICH_MESSAGES);
    assert_eq!(count(&by_receiver, "bob now is [clock]"), BASE_MESSAGES);
    sender.expect_no_frames().await;
    receiver.expect_no_frames().await;
}
