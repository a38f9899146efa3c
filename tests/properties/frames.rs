//! Frames of a rich client: almost valid, or arbitrary.

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{check_async_property, mutated_strategy};
use crate::{
    channels::client_requests,
    support::{Socket, TestApp, User},
};

/// The id of the request that checks whether the socket is still open.
const PROBE_ID: i64 = -424_242;

#[derive(Debug, Clone)]
enum ClientFrame {
    Text(String),
    Binary(Vec<u8>),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_frame_gets_a_reply_or_its_close_code() {
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 1_000_000}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "first", "first").await;
    let mut socket = open_rich_unchecked(&ann, &group).await;
    check_async_property(frame_strategy(&group), async |sent| {
        let frame = match &sent {
            ClientFrame::Text(text) => Message::text(text.clone()),
            ClientFrame::Binary(bytes) => Message::binary(bytes.clone()),
        };
        socket.send_frame(frame).await;
        let close = close_code_before_probe(&mut socket).await;
        let is_json = |text: &String| serde_json::from_str::<Value>(text).is_ok();
        let expected = match &sent {
            ClientFrame::Binary(_) => Some(1003),
            ClientFrame::Text(text) if is_json(text) => None,
            ClientFrame::Text(_) => Some(1007),
        };
        if close.is_some() {
            socket = open_rich_unchecked(&ann, &group).await;
        }
        prop_assert_eq!(close, expected, "{:?}", sent);
        Ok(())
    });
    socket.close(1000).await;
}

async fn open_rich_unchecked(user: &User<'_>, group: &str) -> Socket {
    let path = format!("/ws/chat/{group}/");
    let offers = format!("chat.v1.json, bearer.{}", user.access);
    let headers = [("sec-websocket-protocol", offers.as_str())];
    let socket = Socket::with_headers(user.app.address, &path, &headers).await;
    socket.unwrap()
}

/// Returns the close code, if the socket closes before the reply to the test's own request.
async fn close_code_before_probe(socket: &mut Socket) -> Option<u16> {
    socket
        .try_send(json!({"type": "auth", "id": PROBE_ID}).to_string())
        .await;
    loop {
        match socket.next_frame().await {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["id"] == json!(PROBE_ID) {
                    return None;
                }
            }
            Message::Close(frame) => return Some(frame.map_or(0, |frame| frame.code.into())),
            _ => {}
        }
    }
}

fn frame_strategy(group: &str) -> impl Strategy<Value = ClientFrame> + use<> {
    let good = client_requests().into_iter().map(|(_, message)| {
        let mut good = message["examples"][0]["payload"].clone();
        if good.get("group").is_some() {
            good["group"] = json!(group);
        }
        good.to_string()
    });
    let nearly = mutated_strategy(good.collect(), "{}[]\":,.-+eE0123456789truefalsn\\u \u{0}");
    prop_oneof![
        6 => nearly.prop_map(ClientFrame::Text),
        2 => any::<String>().prop_map(ClientFrame::Text),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(ClientFrame::Binary),
    ]
}
