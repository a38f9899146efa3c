//! Frames in and out, and the codes that close a socket. No I/O.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::ws::{CloseCode, Utf8Bytes, close_code},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::models::events::{Logged, MESSAGE_CREATED};

/// Why a socket is closed by us. Codes below 4000 are those of RFC 6455, section 7.4.1, and its
/// registry; those above say when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the WebSocket protocol itself.
    Protocol,
    /// A binary frame came.
    Binary,
    /// Text came that is not JSON.
    NotJson,
    /// A frame was over the limit.
    TooBig,
    /// The server restarts: come back at once, somewhere.
    Restart,
    /// A post could not be stored: come back with backoff and send it again.
    NotStored,
    /// The socket did not take its frames as fast as they came: come back with backoff.
    Slow,
    /// The socket did not answer a ping: come back with backoff.
    NoPong,
}

impl CloseReason {
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Protocol => close_code::PROTOCOL,
            Self::Binary => close_code::UNSUPPORTED,
            Self::NotJson => close_code::INVALID,
            Self::TooBig => close_code::SIZE,
            Self::Restart => close_code::RESTART,
            Self::NotStored => close_code::AGAIN,
            Self::Slow => 4508,
            Self::NoPong => 4512,
        }
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Protocol => "protocol error",
            Self::Binary => "binary frames are not supported",
            Self::NotJson => "not JSON",
            Self::TooBig => "frame too big",
            Self::Restart => "restart",
            Self::NotStored => "not stored",
            Self::Slow => "slow",
            Self::NoPong => "no pong",
        }
    }
}

/// A frame of a base client, as far as the contract cares.
#[derive(Debug, PartialEq, Eq)]
pub enum BaseRequest {
    /// `{"message": "<text>"}`: posted to the group, then answered.
    Post(String),
    /// Any other JSON: answered.
    Other,
}

impl BaseRequest {
    /// `None` when the text is not JSON (RFC 8259). Depth does not matter: what is nested is
    /// skipped without recursion.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(match message_of(text) {
            Some(message) if !message.is_empty() => Self::Post(message),
            _ => Self::Other,
        })
    }
}

/// The `message` of a JSON object, if it has one that is a text. (A lone surrogate makes it none,
/// though it is JSON by its grammar.) Of several the last counts, as in a browser's `JSON.parse`.
fn message_of(text: &str) -> Option<String> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str(fields.get("message")?.get()).ok()
}

/// What reached a group, and its place in the group's log. (A base frame shows no more of it than
/// who it is by.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    pub seq: i64,
    /// `None`: no user did it, each socket is shown its own name.
    pub by: Option<String>,
    /// Whether it is a message. Other events take their place and base sockets see nothing.
    pub is_message: bool,
}

impl Post {
    #[must_use]
    pub fn message(seq: i64, by: Option<String>) -> Self {
        Self {
            seq,
            by,
            is_message: true,
        }
    }

    /// An event as it stands in the log.
    #[must_use]
    pub fn of(event: Logged) -> Self {
        Self {
            seq: event.seq,
            by: event.username,
            is_message: event.kind == MESSAGE_CREATED,
        }
    }

    /// As it travels between nodes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(to_json(self))
    }

    /// `None` for what no node of ours has sent.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// The first frame of a base socket.
#[must_use]
pub fn greeting(username: &str, clock: &str) -> Utf8Bytes {
    chat_message(&format!("hi {username} now is {clock}"))
}

/// The answer to a frame of a base socket.
#[must_use]
pub fn answer(clock: &str) -> Utf8Bytes {
    chat_message(&format!("now is {clock}"))
}

/// What a base socket is shown of a post in its group.
#[must_use]
pub fn arrival(username: &str, clock: &str) -> Utf8Bytes {
    chat_message(&format!("{username} now is {clock}"))
}

fn chat_message(message: &str) -> Utf8Bytes {
    #[derive(Serialize)]
    struct ChatMessage<'a> {
        r#type: &'static str,
        message: &'a str,
    }
    to_json(&ChatMessage {
        r#type: "chat_message",
        message,
    })
    .into()
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text fields and no maps: serde_json cannot fail on these")
}
