//! The session in the document is a recorded one.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::code_block;
use crate::support::{GroupPath, Socket, TestApp, User, asyncapi, redact_text, wait_until};

/// A rich socket of ann that records all frames.
struct SessionRecorder {
    socket: Socket,
    transcript: String,
}

impl SessionRecorder {
    async fn connect(user: &User<'_>, group: &str, query: &str, epoch: &str) -> Self {
        let path = format!("/ws/chat/{group}/{query}").replace("[epoch]", epoch);
        let offers = format!("chat.v1.json, bearer.{}", user.access);
        let headers = [("sec-websocket-protocol", offers.as_str())];
        let socket = Socket::with_headers(user.app.address, &path, &headers);
        Self {
            socket: socket.await.unwrap(),
            transcript: format!(
                "GET /ws/chat/[group]/{query}\nSec-WebSocket-Protocol: chat.v1.json, bearer.[jwt]\n\n"
            ),
        }
    }

    /// Drops the connection without a close frame. Returns the record.
    fn disconnect(self) -> String {
        self.transcript
    }

    async fn send(&mut self, request: &str, group: &str) {
        self.transcript += &format!("→ {request}\n");
        self.socket.send(request.replace("[group]", group)).await;
    }

    /// Reads the next frame, which must be of this type.
    async fn expect_frame(&mut self, kind: &str) -> Value {
        let text = match self.socket.next_frame().await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        asyncapi::assert_server_frame(&frame);
        assert_eq!(frame["type"], kind, "{frame}");
        let mut shown = redact_text(&text, &frame);
        if let Some(left) = frame["auth_expires_in"].as_i64() {
            assert!((1_209_500..=1_209_600).contains(&left), "{left}");
            shown = shown.replace(&left.to_string(), "1209600");
        }
        self.transcript += &format!("  {shown}\n");
        frame
    }
}

#[tokio::test]
async fn the_recorded_session_in_the_protocol_document_is_real() {
    // With the settings of an operator.
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 20}})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let request = |id: u8, cid: &str, text: &str| {
        format!(r#"{{"type":"send","id":{id},"group":"[group]","cid":"{cid}","text":"{text}"}}"#)
    };
    let (first, second) = (
        request(1, "01JD3ZK8Q4", "Lunch?"),
        request(2, "01JD3ZKA7T", "At one."),
    );

    let mut before = SessionRecorder::connect(&ann, &group, "", "").await;
    let epoch = before.expect_frame("hello").await["epoch"].clone();
    before.expect_frame("group").await;
    before.expect_frame("sync").await;
    before.send(&first, &group).await;
    before.expect_frame("ok").await;
    before.expect_frame("event").await;
    before.send(&second, &group).await;
    wait_until("her message to be stored", async || {
        let group = bob.get(&group.path("")).await;
        group.json()["head"] == 3
    })
    .await;
    // The client does not wait for the reply.
    let before = before.disconnect();
    bob.send_message(&group, "Fine.", "01JD3ZKB2M").await;

    let query = "?after=2&epoch=[epoch]";
    let epoch = epoch.as_str().unwrap();
    let mut after = SessionRecorder::connect(&ann, &group, query, epoch).await;
    for kind in ["hello", "group", "event", "event", "sync"] {
        after.expect_frame(kind).await;
    }
    after.send(&second, &group).await;
    let again = after.expect_frame("ok").await;
    assert_eq!(again["dup"], true);

    let recorded = format!(
        "{before}\n    (the connection breaks; Bob goes on)\n\n{}",
        after.transcript
    );
    assert!(
        code_block("text") == recorded,
        "docs/protocol.md shows another session than this:\n{recorded}"
    );
}
