//! What a base client sends and is shown: the contract, and nothing else ever.

use std::collections::HashMap;

use axum::extract::ws::Utf8Bytes;
use serde::{Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::to_json;

/// A frame of a base client, as far as the contract cares.
#[derive(Debug, PartialEq, Eq)]
pub enum BasicRequest {
    /// `{"message": "<text>"}`: posted to the group, then answered.
    Post(String),
    /// Any other JSON: answered.
    Other,
}

impl BasicRequest {
    /// `None` when the text is not JSON (RFC 8259). Depth does not matter: what is nested is
    /// skipped without recursion.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(match message_field(text) {
            Some(message) if !message.is_empty() => Self::Post(message),
            _ => Self::Other,
        })
    }
}

/// The `message` of a JSON object, if it has one that is a text. (A lone surrogate makes it none,
/// though it is JSON by its grammar.) Of several the last counts, as in a browser's `JSON.parse`.
fn message_field(text: &str) -> Option<String> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str(fields.get("message")?.get()).ok()
}

/// The first frame of a base socket.
#[must_use]
pub fn greeting_frame(username: &str, clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("hi {username} now is {clock}"))
}

/// The answer to a frame of a base socket.
#[must_use]
pub fn reply_frame(clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("now is {clock}"))
}

/// What a base socket is shown of a message in its group.
#[must_use]
pub fn message_frame(username: &str, clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("{username} now is {clock}"))
}

/// The only frame of a base socket.
#[derive(Serialize, ToSchema)]
pub struct ChatMessage<'a> {
    /// `chat_message`.
    #[schema(example = "chat_message", pattern = "^chat_message$")]
    r#type: &'static str,
    /// `hi <you> now is HH:MM:SS` once; `now is HH:MM:SS` for each frame of yours;
    /// `<username> now is HH:MM:SS` for each message that comes from elsewhere.
    #[schema(example = "now is 14:05:09")]
    message: &'a str,
}

/// What a base client posts. Any other JSON is answered as well, and posts nothing.
#[derive(ToSchema)]
pub struct Post {
    /// What is said in the group.
    #[schema(example = "hi", min_length = 1)]
    pub message: String,
}

fn encode_chat_message(message: &str) -> Utf8Bytes {
    to_json(&ChatMessage {
        r#type: "chat_message",
        message,
    })
    .into()
}
