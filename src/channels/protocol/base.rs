//! The frames of a base socket, exactly as the base contract defines them.

use std::collections::HashMap;

use axum::extract::ws::Utf8Bytes;
use serde::{Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::to_json;

/// A frame of a base client: a post, or any other JSON.
#[derive(Debug, PartialEq, Eq)]
pub enum BaseRequest {
    /// `{"message": "<text>"}`: the server posts the text to the group, then answers.
    Post(String),
    /// Any other JSON: the server answers, and posts nothing.
    Other,
}

impl BaseRequest {
    /// Parses a frame. Returns `None` for a text that is not JSON (RFC 8259).
    ///
    /// The depth does not matter: nested values are skipped without recursion.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(match message_field(text) {
            Some(message) if !message.is_empty() => Self::Post(message),
            _ => Self::Other,
        })
    }
}

/// Returns the `message` of a JSON object, if the object has one and it is a text.
///
/// A text with a lone surrogate counts as absent, although it is JSON by its grammar. The last value of a repeated key
/// counts, as in a browser's `JSON.parse`.
fn message_field(text: &str) -> Option<String> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str(fields.get("message")?.get()).ok()
}

/// Returns the first frame of a base socket.
#[must_use]
pub fn greeting_frame(username: &str, clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("hi {username} now is {clock}"))
}

/// Returns the answer to a frame of a base socket.
#[must_use]
pub fn reply_frame(clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("now is {clock}"))
}

/// Returns the frame by which a base socket receives a message of its group.
#[must_use]
pub fn message_frame(username: &str, clock: &str) -> Utf8Bytes {
    encode_chat_message(&format!("{username} now is {clock}"))
}

/// The only kind of frame that a base socket receives.
#[derive(Serialize, ToSchema)]
pub struct ChatMessage<'a> {
    /// The type of the frame, which is `chat_message`.
    #[schema(example = "chat_message", pattern = "^chat_message$")]
    r#type: &'static str,
    /// The text of the frame. `hi <you> now is HH:MM:SS` once; `now is HH:MM:SS` for each frame that you send;
    /// `<username> now is HH:MM:SS` for each message that this socket did not send.
    #[schema(example = "now is 14:05:09")]
    message: &'a str,
}

/// A message that a base client posts. The server answers any other JSON too, and posts nothing.
#[derive(ToSchema)]
pub struct Post {
    /// The text of the message.
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
