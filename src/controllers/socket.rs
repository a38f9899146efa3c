//! The only file that upgrades a request to a WebSocket.

use std::sync::Arc;

use axum::{
    RequestPartsExt,
    extract::{State, ws::WebSocketUpgrade},
    http::request::Parts,
    response::Response,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::get,
};

use super::extractors::{
    AllowedOrigin, AuthenticatedUser, Authenticator, BaseSocketUser, Handshake, QueryParams,
    RichSocketUser, SocketMember, Throttle,
};
use crate::{
    channels::{
        Channels, ResumePoint,
        protocol::{CloseReason, rich::SUBPROTOCOL},
        socket_writer::SocketWriter,
    },
    errors::{Error, Result},
    limits::TooManySockets,
    views::errors::{Detail, Refusal, TooManySocketsResponse},
};

/// Open a socket for one group.
///
/// Without a subprotocol, the socket is a base socket. On open, and for every message, the server sends
/// `{"type": "chat_message", "message": "…"}`. The server answers every JSON text. A frame
/// `{"message": "<text>"}` also posts the text to the group. The server closes the socket with 1007 after text
/// that is not JSON, 1003 after a binary frame, 1009 after a frame over 64 KiB, 1012 when the server restarts,
/// 1013 when a post could not be stored, 4401 when the session expires, 4403 when you are removed from the
/// group, and 4410 when the session was revoked.
///
/// With the subprotocol `chat.v1.json`, the socket is a rich socket. It receives every event of the group's log, once
/// and in order, starting after `after`. Its credential is a second subprotocol `bearer.<jwt>`, the header
/// `Authorization`, or the cookie. If the credential is invalid, the server sends a frame `bye` and closes the socket.
#[utoipa::path(
    get, path = "/ws/chat/{group_name}/", operation_id = "chat_socket", tag = "chat",
    security(("cookie" = []), ("bearer" = [])),
    params(
        ("group_name" = String, Path, description = "As start-chat gave it.", example = "chat_a1b2c3d4"),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "`chat.v1.json`, for a rich socket, and its credential.", example = "chat.v1.json, bearer.eyJ0eXAi.eyJ0b2tl.c2ln"),
        ("after" = Option<i64>, Query, description = "Rich: the last event that you have.", minimum = 0, example = 41),
        ("epoch" = Option<String>, Query, description = "Rich: the `epoch` in which you got it."),
    ),
    responses(
        (status = 101, description = "The socket is open."),
        (status = 401, description = "No live access token in the cookie `access`.", body = Refusal),
        (status = 403, description = "A page of another origin asked, with the cookie.", body = Detail,
            example = json!({"detail": "This origin is not allowed to open a socket.", "code": "forbidden"})),
        (status = 404, description = "There is no such group, or you are no member of it.", body = Detail,
            example = json!({"detail": "Not found.", "code": "not_found"})),
        (status = 400, description = "`Sec-WebSocket-Key` is not the Base64 of 16 bytes.", body = Detail,
            example = json!({"detail": "Sec-WebSocket-Key: one line, the Base64 of 16 bytes.", "code": "invalid"})),
        (status = 426, description = "The request did not ask for an upgrade.", body = Detail,
            example = json!({"detail": "This is a WebSocket; send an upgrade request.", "code": "invalid"})),
        TooManySocketsResponse,
    ),
)]
pub async fn group_socket(
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    allowance: Throttle,
    mut parts: Parts,
) -> Result<Response> {
    allowance.check_socket_open()?;
    match parts.extract::<Handshake>().await {
        Ok(Handshake(upgrade)) if offers_rich_subprotocol(&upgrade) => {
            open_rich_socket(ctx, channels, allowance, parts, upgrade).await
        }
        Err(error) if Handshake::offers_subprotocol(&parts.headers, SUBPROTOCOL) => Err(error),
        handshake => {
            let _: AllowedOrigin = parts.extract_with_state(&ctx).await?;
            let found: SocketMember<BaseSocketUser> = parts.extract_with_state(&ctx).await?;
            let Handshake(upgrade) = handshake?;
            let chair = (
                allowance.acquire_socket_permit(&channels, &found.user)?,
                shared_writer(&parts),
            );
            Ok(channels.serve_basic(upgrade, found.member, found.session, chair))
        }
    }
}

/// A rich socket is opened even to be told that it may not stay, except to a foreign page.
async fn open_rich_socket(
    ctx: AppContext,
    channels: Channels,
    allowance: Throttle,
    mut parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let found = parts
        .extract_with_state::<SocketMember<RichSocketUser>, _>(&ctx)
        .await;
    let entry = parts.extract::<QueryParams>().await.and_then(|params| {
        Ok(ResumePoint {
            after: params.number("after", 0..=i64::MAX)?,
            epoch: params.text("epoch")?.map(ToOwned::to_owned),
        })
    });
    match (found, entry) {
        (Ok(found), Ok(entry)) => match allowance.acquire_socket_permit(&channels, &found.user) {
            Ok(seat) => {
                let chair = (seat, shared_writer(&parts));
                Ok(channels.serve_rich_group(upgrade, found.member, found.session, entry, chair))
            }
            Err(full) => reject_rich_socket(&channels, upgrade, full.into()),
        },
        (Ok(_), Err(_)) => Ok(channels.reject_rich(upgrade, CloseReason::InvalidQuery)),
        (Err(error), _) => reject_rich_socket(&channels, upgrade, error),
    }
}

/// Open a socket for many groups.
///
/// The subprotocol `chat.v1.json` is required. The socket starts without groups. `sub` subscribes to groups, each with
/// the last event that the client has. A group that you join is added automatically. The credential is the same as
/// for the rich socket of one group.
#[utoipa::path(
    get, path = "/ws/", operation_id = "socket", tag = "chat",
    security(("cookie" = []), ("bearer" = [])),
    params(
        ("Sec-WebSocket-Protocol" = String, Header, description = "`chat.v1.json`, and the credential.", example = "chat.v1.json, bearer.eyJ0eXAi.eyJ0b2tl.c2ln"),
    ),
    responses(
        (status = 101, description = "The socket is open; what is wrong with the credential is told by a frame `bye`."),
        (status = 403, description = "A page of another origin asked, with the cookie.", body = Detail,
            example = json!({"detail": "This origin is not allowed to open a socket.", "code": "forbidden"})),
        (status = 400, description = "`Sec-WebSocket-Key` is not the Base64 of 16 bytes.", body = Detail,
            example = json!({"detail": "Sec-WebSocket-Key: one line, the Base64 of 16 bytes.", "code": "invalid"})),
        (status = 426, description = "The request did not ask for an upgrade, or did not offer `chat.v1.json`.", body = Detail,
            example = json!({"detail": "Offer the subprotocol chat.v1.json.", "code": "invalid"})),
        TooManySocketsResponse,
    ),
)]
pub async fn multi_group_socket(
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    allowance: Throttle,
    mut parts: Parts,
) -> Result<Response> {
    allowance.check_socket_open()?;
    let Handshake(upgrade) = parts.extract().await?;
    if !offers_rich_subprotocol(&upgrade) {
        return Err(Error::SubprotocolRequired);
    }
    let identified = RichSocketUser::authenticate(&mut parts, &ctx).await;
    let seated = identified.and_then(|identified| {
        let seat = allowance.acquire_socket_permit(&channels, &identified.user)?;
        Ok((identified, seat))
    });
    match seated {
        Ok((AuthenticatedUser { user, session }, seat)) => {
            let chair = (seat, shared_writer(&parts));
            Ok(channels.serve_rich_groups(upgrade, user, session, chair))
        }
        Err(error) => reject_rich_socket(&channels, upgrade, error),
    }
}

/// Tells a rich client why it may not come in, in the way that it can read.
fn reject_rich_socket(
    channels: &Channels,
    upgrade: WebSocketUpgrade,
    error: Error,
) -> Result<Response> {
    let reason = match error {
        // Who is one of many from one place must come back later, as after any refusal.
        Error::ForeignOrigin | Error::TooManySockets(TooManySockets::Network) => return Err(error),
        Error::TooManySockets(TooManySockets::User) => CloseReason::TooManySockets,
        Error::Unauthorized | Error::TokenExpired | Error::TokenInvalid => {
            CloseReason::Unauthorized
        }
        Error::NotFound => CloseReason::NotMember,
        Error::Unavailable => CloseReason::Overloaded,
        error => {
            tracing::error!(%error, "a socket could not be opened");
            CloseReason::InternalError
        }
    };
    Ok(channels.clone().reject_rich(upgrade, reason))
}

/// By which the connection of this request is written to, where the accept loop is ours.
fn shared_writer(parts: &Parts) -> Option<Arc<SocketWriter>> {
    parts.extensions.get().cloned()
}

fn offers_rich_subprotocol(upgrade: &WebSocketUpgrade) -> bool {
    upgrade
        .requested_protocols()
        .any(|offer| offer == SUBPROTOCOL)
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/ws")
        .add("/", get(multi_group_socket))
        .add("/chat/{group_name}", get(group_socket))
}
