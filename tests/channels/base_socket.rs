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
async fn a_socket_is_greeted() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    assert_eq!(
        ann.connect(&group).await.message().await,
        "hi ann now is [clock]"
    );
}

#[tokio::test]
async fn a_socket_opens_without_the_trailing_slash_too() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = format!("/ws/chat/{}", ann.start_chat().await);
    let opened = Socket::with_headers(app.address, &path, &[("cookie", &ann.cookie())]).await;
    assert_eq!(opened.unwrap().message().await, "hi ann now is [clock]");
}

#[tokio::test]
async fn every_json_is_answered_once_and_only_to_its_sender() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.open(&group).await;
    let mut other = ann.open(&group).await;
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
        assert_eq!(socket.message().await, "now is [clock]", "{text:.40}");
    }
    other.expect_silence().await;
}

#[tokio::test]
async fn answers_come_one_for_each_frame() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    for i in 0..200 {
        socket
            .send(json!({ "message": format!("message {i}") }).to_string())
            .await;
    }
    for _ in 0..200 {
        assert_eq!(socket.message().await, "now is [clock]");
    }
    socket.expect_silence().await;
}

#[tokio::test]
async fn a_post_reaches_every_other_socket_of_the_group_under_its_senders_name() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let bob = app.user("bob").await;
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;

    let mut anns = ann.open(&group).await;
    let mut anns_other = ann.open(&group).await;
    let mut bobs = bob.open(&group).await;
    let mut elsewhere = bob.open(&bob.start_chat().await).await;

    anns.send(r#"{"message": "سلام"}"#).await;
    assert_eq!(anns.message().await, "now is [clock]");
    assert_eq!(anns_other.message().await, "ann now is [clock]");
    assert_eq!(bobs.message().await, "ann now is [clock]");
    bobs.send(r#"{"more": [], "message": "hi", "message": "again"}"#)
        .await;
    assert_eq!(bobs.message().await, "now is [clock]");
    assert_eq!(anns.message().await, "bob now is [clock]");
    for socket in [&mut anns, &mut bobs, &mut elsewhere] {
        socket.expect_silence().await;
    }
}

#[tokio::test]
async fn what_is_not_json_text_closes_the_socket() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
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
        (1009, Message::text(quoted(65_537))),
        (1009, Message::text(quoted(1_000_000))),
        (1009, Message::binary(vec![0; 65_537])),
    ];
    for (code, message) in table {
        let mut socket = ann.open(&group).await;
        let shown = format!("{message:?}").chars().take(40).collect::<String>();
        socket.send_frame(message).await;
        assert_eq!(socket.close_code().await, code, "{shown}");
    }
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn a_frame_of_just_the_limit_is_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    socket.send(quoted(65_536)).await;
    assert_eq!(socket.message().await, "now is [clock]");
}

#[tokio::test]
async fn the_last_listener_drops_the_topic() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let first = ann.open(&group).await;
    let second = ann.open(&group).await;
    assert_eq!(app.channels().active_groups(), 1);
    drop(first);
    drop(second);
    app.until_no_group_is_active().await;
}

/// A JSON text of this many bytes.
fn quoted(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    assert_eq!(socket.close(1000).await, Some(1000));
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn the_reason_is_heard_even_after_megabytes_that_nobody_reads() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let socket = ann.open(&ann.start_chat().await).await;
    assert_eq!(socket.code_after_flood(quoted(8_000_000)).await, 1009);
}

#[tokio::test]
async fn it_ends_with_its_session() {
    let app = TestApp::with(json!({"tokens": {"refresh_lifetime": 2}})).await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    assert_eq!(socket.close_code().await, 4401);
}

/// The room itself tells sockets that wait for nothing else; those that have just said something are
/// told by their own tasks, which know what not to tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_each_is_told_of_each_message_but_its_own() {
    const ANNS: usize = 600;
    const BOBS: usize = 60;
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut storm = ann.live(&group).await;
    let mut says = bob.open(&group).await;
    let mut hears = bob.open(&group).await;
    let saying = async {
        let mut told = Vec::new();
        for _ in 0..BOBS {
            says.send(r#"{"message": "in between"}"#).await;
            loop {
                told.push(says.message().await);
                if told.last().is_some_and(|last| last == "now is [clock]") {
                    break;
                }
            }
        }
        while told.len() < ANNS + BOBS {
            told.push(says.message().await);
        }
        told
    };
    let hearing = async {
        let mut told = Vec::new();
        while told.len() < ANNS + BOBS {
            told.push(hears.message().await);
        }
        told
    };
    let (said, heard, ()) = tokio::join!(saying, hearing, storm.floods(ANNS));
    let count = |told: &[String], text: &str| told.iter().filter(|one| **one == text).count();
    assert_eq!(count(&said, "ann now is [clock]"), ANNS);
    assert_eq!(count(&said, "now is [clock]"), BOBS);
    assert_eq!(count(&heard, "ann now is [clock]"), ANNS);
    assert_eq!(count(&heard, "bob now is [clock]"), BOBS);
    says.expect_silence().await;
    hears.expect_silence().await;
}
