//! Responses about chats.

use serde::Serialize;
use utoipa::ToSchema;

/// A new chat group.
#[derive(Serialize, ToSchema)]
pub struct ChatStarted {
    #[schema(example = "chat_a1b2c3d4", pattern = "^chat_[0-9a-f]{8}$")]
    pub group_name: String,
    /// The URL of the group's base socket.
    #[schema(example = "ws://127.0.0.1:8000/ws/chat/chat_a1b2c3d4/")]
    pub websocket_url: String,
    #[schema(example = "سلام ann الان ساعت 14:05:09 است")]
    pub message: String,
}

impl ChatStarted {
    /// `socket_base` is the scheme and host of the socket's URL. `clock` is the time as `HH:MM:SS`.
    #[must_use]
    pub fn new(group_name: String, socket_base: &str, username: &str, clock: &str) -> Self {
        Self {
            websocket_url: format!("{socket_base}/ws/chat/{group_name}/"),
            message: format!("سلام {username} الان ساعت {clock} است"),
            group_name,
        }
    }
}
