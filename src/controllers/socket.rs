//! The endpoints of WebSockets. No other file upgrades a request.

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
        protocol::{
            CloseReason,
            rich::{Bye, SUBPROTOCOL},
        },
        socket_writer::SocketWriter,
    },
    errors::{Error, Refusal, Result},
    limits::TooManySockets,
    views::errors::{ApiError, BaseError, TooManySocketsResponse, Unavailable},
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
        ("group_name" = String, Path, description = "The `group_name` from start-chat.", example = "chat_a1b2c3d4"),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "The list of subprotocols. A rich socket requires `chat.v1.json`. The list can also have the credential.", example = "chat.v1.json, bearer.eyJ0eXAi.eyJ0b2tl.c2ln"),
        ("after" = Option<i64>, Query, description = "The `seq` of the last event that you have. Base sockets ignore the parameter.", minimum = 0, example = 41),
        ("epoch" = Option<String>, Query, description = "The `epoch` in which you received that event. Base sockets ignore the parameter."),
    ),
    responses(
        (status = 101, description = "The socket is open."),
        (status = 401, description = "The cookie `access` has no valid access token.", body = BaseError),
        (status = 403, description = "The request has the cookie, and comes from a page of another origin.", body = ApiError,
            example = json!({"detail": "This origin is not allowed to open a socket.", "code": "forbidden"})),
        (status = 404, description = "The group does not exist, or you are not a member of it.", body = ApiError,
            example = json!({"detail": "Not found.", "code": "not_found"})),
        (status = 400, description = "`Sec-WebSocket-Key` is not the Base64 of 16 bytes.", body = ApiError,
            example = json!({"detail": "Sec-WebSocket-Key must occur once, as the Base64 of 16 bytes.", "code": "invalid"})),
        (status = 426, description = "The request is not a WebSocket upgrade.", body = ApiError,
            example = json!({"detail": "This is a WebSocket; send an upgrade request.", "code": "invalid"})),
        TooManySocketsResponse, Unavailable,
    ),
)]
pub async fn group_socket(
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    mut parts: Parts,
) -> Result<Response> {
    throttle.check_socket_open()?;
    match parts.extract::<Handshake>().await {
        Ok(Handshake(upgrade)) if offers_rich_subprotocol(&upgrade) => {
            open_rich_socket(ctx, channels, throttle, parts, upgrade).await
        }
        Err(error) if Handshake::offers_subprotocol(&parts.headers, SUBPROTOCOL) => Err(error),
        handshake => {
            let _: AllowedOrigin = parts.extract_with_state(&ctx).await?;
            let start = throttle.wait_for_start(&channels).await?;
            let socket_member: SocketMember<BaseSocketUser> =
                parts.extract_with_state(&ctx).await?;
            let Handshake(upgrade) = handshake?;
            let writer = shared_writer(&parts);
            let admission = throttle.admit_socket(&channels, &socket_member.user, start, writer)?;
            Ok(channels.serve_base(
                upgrade,
                socket_member.member,
                socket_member.session,
                admission,
            ))
        }
    }
}

/// Opens a rich socket of one group.
///
/// A rejected client also gets a socket, which closes with the reason. A page of a foreign origin gets none.
async fn open_rich_socket(
    ctx: AppContext,
    channels: Channels,
    throttle: Throttle,
    mut parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let start = match throttle.wait_for_start(&channels).await {
        Ok(start) => start,
        Err(overloaded) => return reject_rich_socket(&channels, upgrade, overloaded.into()),
    };
    let socket_member = parts
        .extract_with_state::<SocketMember<RichSocketUser>, _>(&ctx)
        .await;
    let resume_point = parts.extract::<QueryParams>().await.and_then(|params| {
        Ok(ResumePoint {
            after: params.number("after", 0)?,
            epoch: params.text("epoch")?.map(ToOwned::to_owned),
        })
    });
    match (socket_member, resume_point) {
        (Ok(socket_member), Ok(resume_point)) => {
            let writer = shared_writer(&parts);
            match throttle.admit_socket(&channels, &socket_member.user, start, writer) {
                Ok(admission) => Ok(channels.serve_rich_group(
                    upgrade,
                    socket_member.member,
                    socket_member.session,
                    resume_point,
                    admission,
                )),
                Err(error) => reject_rich_socket(&channels, upgrade, error.into()),
            }
        }
        (Ok(_), Err(_)) => Ok(close_rejected(
            &channels,
            upgrade,
            CloseReason::InvalidQuery.into(),
        )),
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
        ("Sec-WebSocket-Protocol" = String, Header, description = "The list of subprotocols has `chat.v1.json`. It can also have the credential.", example = "chat.v1.json, bearer.eyJ0eXAi.eyJ0b2tl.c2ln"),
    ),
    responses(
        (status = 101, description = "The socket is open. If the credential is invalid, the server sends a frame `bye` and closes the socket."),
        (status = 403, description = "The request has the cookie, and comes from a page of another origin.", body = ApiError,
            example = json!({"detail": "This origin is not allowed to open a socket.", "code": "forbidden"})),
        (status = 400, description = "`Sec-WebSocket-Key` is not the Base64 of 16 bytes.", body = ApiError,
            example = json!({"detail": "Sec-WebSocket-Key must occur once, as the Base64 of 16 bytes.", "code": "invalid"})),
        (status = 426, description = "The request is not a WebSocket upgrade, or does not offer `chat.v1.json`.", body = ApiError,
            example = json!({"detail": "Offer the subprotocol chat.v1.json.", "code": "invalid"})),
        TooManySocketsResponse, Unavailable,
    ),
)]
pub async fn multi_group_socket(
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    mut parts: Parts,
) -> Result<Response> {
    throttle.check_socket_open()?;
    let Handshake(upgrade) = parts.extract().await?;
    if !offers_rich_subprotocol(&upgrade) {
        return Err(Error::SubprotocolRequired);
    }
    let permitted = async {
        let start = throttle.wait_for_start(&channels).await?;
        let authenticated = RichSocketUser::authenticate(&mut parts, &ctx).await?;
        let writer = shared_writer(&parts);
        let admission = throttle.admit_socket(&channels, &authenticated.user, start, writer)?;
        Ok((authenticated, admission))
    };
    match permitted.await {
        Ok((AuthenticatedUser { user, session }, admission)) => {
            Ok(channels.serve_rich_groups(upgrade, user, session, admission))
        }
        Err(error) => reject_rich_socket(&channels, upgrade, error),
    }
}

/// Rejects a rich client by a socket that closes with the reason, which a browser can read.
fn reject_rich_socket(
    channels: &Channels,
    upgrade: WebSocketUpgrade,
    error: Error,
) -> Result<Response> {
    let reason = match error {
        // A client of a network with too many sockets gets 429 with `Retry-After`, as after any rate limit.
        Error::ForeignOrigin | Error::TooManySockets(TooManySockets::Network) => return Err(error),
        Error::Overloaded(overloaded) => {
            return Ok(close_rejected(
                channels,
                upgrade,
                Bye::overloaded(overloaded),
            ));
        }
        Error::TooManySockets(TooManySockets::User) => CloseReason::TooManySockets,
        Error::Unauthorized | Error::TokenExpired | Error::TokenInvalid => {
            CloseReason::Unauthorized
        }
        Error::NotFound => CloseReason::NotMember,
        Error::Unavailable | Error::DatabaseDown(_) => CloseReason::Overloaded,
        error => {
            tracing::error!(%error, "socket not opened");
            CloseReason::InternalError
        }
    };
    Ok(close_rejected(channels, upgrade, reason.into()))
}

/// Opens a socket that only closes. The log contains the reason.
fn close_rejected(channels: &Channels, upgrade: WebSocketUpgrade, bye: Bye) -> Response {
    let reason = bye.close_reason;
    let mut response = channels.clone().reject_rich(upgrade, bye);
    response.extensions_mut().insert(Refusal(reason.text()));
    response
}

/// Returns the writer of the request's connection, if the accept loop of this server made the connection.
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
