//! The only file that upgrades a request to a WebSocket.

use axum::{
    extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    response::Response,
};
use loco_rs::{
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::get,
};

use super::extractors::{AllowedOrigin, CookieUser, GroupMember};
use crate::{
    channels::{Channels, Member},
    errors::{Error, Result},
    views::errors::{Detail, Refusal},
};

/// Open a socket of a group.
///
/// On open and for every message the server sends `{"type": "chat_message", "message": "…"}`. Any
/// JSON text is answered; a sent `{"message": "<text>"}` also reaches the other sockets of the
/// group. Closes with 1007 for text that is not JSON, 1003 for binary, 1009 for a frame over
/// 64 KiB, 1012 when the server restarts, 1013 when a post could not be stored.
#[utoipa::path(
    get, path = "/ws/chat/{group_name}/", operation_id = "chat_socket", tag = "chat",
    security(("access_cookie" = [])),
    params(("group_name" = String, Path, description = "As start-chat gave it.", example = "chat_a1b2c3d4")),
    responses(
        (status = 101, description = "The socket is open."),
        (status = 401, description = "No live access token in the cookie `access`.", body = Refusal),
        (status = 403, description = "A page of another origin asked.", body = Detail,
            example = json!({"detail": "This origin may not open a socket here.", "code": "forbidden"})),
        (status = 404, description = "There is no such group, or you are no member of it.", body = Detail,
            example = json!({"detail": "Not found.", "code": "not_found"})),
        (status = 426, description = "The request did not ask for an upgrade.", body = Detail,
            example = json!({"detail": "This is a WebSocket; ask for the upgrade.", "code": "invalid"})),
    ),
)]
pub async fn chat(
    _: AllowedOrigin,
    member: GroupMember<CookieUser>,
    SharedStore(channels): SharedStore<Channels>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    Ok(channels.serve(
        upgrade.map_err(|_| Error::UpgradeRequired)?,
        Member {
            user_id: member.user.id,
            username: member.user.username.into(),
            group_id: member.group.id,
            group: member.group.name.into(),
            head: member.group.head,
        },
    ))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/ws")
        .add("/chat/{group_name}", get(chat))
}
