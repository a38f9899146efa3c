//! The sessions of a user, logout, and the change of the password.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{delete, get, post, put},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::{expired_cookie, token_response},
    extractors::{ApiJson, AuthenticatedUser, Confirmation, CurrentSession, PublicBase, Throttle},
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        hashing::{HashPriority, Requester},
        passwords::Password,
        sessions::{self, RefreshId},
        users::UserError,
    },
    tokens::Tokens,
    views::{
        auth::TokenPair,
        errors::{BodyErrors, Invalid, NotFound, RateLimited, Unauthorized, Unavailable},
        sessions::{Session, Sessions},
    },
};

/// The highest number of sessions in the list.
const MAX_LISTED_SESSIONS: u64 = 200;

/// A new password, with the current one.
#[derive(Deserialize, ToSchema)]
pub struct PasswordParams {
    #[schema(example = "a staple of batteries", format = Password)]
    pub old: String,
    /// The password has 8 to 128 characters. A password that is easy to guess, also from the name or the username, is
    /// rejected.
    #[schema(value_type = String, example = "a battery of staples", min_length = 8, max_length = 128, format = Password)]
    pub new: Password,
}

/// Log out.
///
/// The session of the request's access token ends. Its tokens become invalid, and its sockets are closed with 4410.
#[utoipa::path(
    post, path = "/api/logout/", operation_id = "logout", tag = "accounts",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The session has ended, and the cookie `access` is removed.",
            headers(("Set-Cookie" = String, description = "The cookie is `access=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0`, with `Secure` where clients use HTTPS."))),
        Unauthorized, RateLimited, Unavailable,
    ),
)]
pub async fn logout(
    CurrentSession(current): CurrentSession,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    base: PublicBase,
) -> Result<impl IntoResponse> {
    throttle.check_change(Some(&current.user))?;
    let id = current.session.id;
    // Another request may have ended the session first: the response is the same.
    end_session_by_id(&ctx, &channels, current, id).await?;
    Ok((StatusCode::NO_CONTENT, expired_cookie(&base)))
}

/// List your sessions, the last used first, at most 200.
#[utoipa::path(
    get, path = "/api/sessions/", operation_id = "list_sessions", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 200, description = "The response has your sessions.", body = Sessions), Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    CurrentSession(AuthenticatedUser { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
) -> Result<Json<Sessions>> {
    let rows = sessions::Model::list(&ctx.db, user.id, MAX_LISTED_SESSIONS).await?;
    let results = rows
        .into_iter()
        .map(|row| Session::new(row, session.id))
        .collect();
    Ok(Json(Sessions { results }))
}

/// End one of your sessions. Its sockets are closed with 4410.
#[utoipa::path(
    delete, path = "/api/sessions/{id}/", operation_id = "end_session", tag = "accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, example = "67e55044-10b1-426f-9247-bb680e5fe0c8")),
    responses((status = 204, description = "The session has ended."), NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn end_session(
    CurrentSession(current): CurrentSession,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    throttle.check_change(Some(&current.user))?;
    let id = id.parse().map_err(|_| Error::NotFound)?;
    if end_session_by_id(&ctx, &channels, current, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}

/// End all your other sessions. Their sockets are closed with 4410.
///
/// This cannot be undone, so the request must repeat your username: `?confirm=<username>`, or
/// `{"confirm": "<username>"}` as its body.
#[utoipa::path(
    delete, path = "/api/sessions/", operation_id = "end_other_sessions", tag = "accounts",
    security(("bearer" = [])),
    params(("confirm" = Option<String>, Query, description = "Your username. The body can have the username instead.", example = "nora")),
    responses((status = 204, description = "This session is your only session."), Invalid, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn end_other_sessions(
    CurrentSession(AuthenticatedUser { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    confirmation: Confirmation,
) -> Result<StatusCode> {
    throttle.check_change(Some(&user))?;
    confirmation.check("username", |name| user.has_username(name))?;
    let (db, user_id) = (ctx.db.clone(), user.id);
    let ending = async move { sessions::Model::revoke_all(&db, user_id, Some(session.id)).await };
    channels.run_and_recheck_sessions(&user, ending).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Change your password. All your other sessions end.
///
/// All earlier tokens become invalid, including the tokens of this session. The response has new tokens, and sets the
/// cookie `access` again. The sockets of this session stay open. A wrong current password counts as a failed login:
/// after ten failures in a row, each further attempt must wait.
#[utoipa::path(
    put, path = "/api/me/password/", operation_id = "change_password", tag = "accounts",
    security(("bearer" = [])),
    request_body = PasswordParams,
    responses(
        (status = 200, description = "The password is changed. The response has the new tokens.", body = TokenPair,
            headers(("Set-Cookie" = String, description = "The cookie is `access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`, with `Secure` where clients use HTTPS."))),
        Invalid, Unauthorized, BodyErrors, RateLimited, Unavailable,
    ),
)]
pub async fn change_password(
    CurrentSession(AuthenticatedUser { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    SharedStore(tokens): SharedStore<Tokens>,
    base: PublicBase,
    throttle: Throttle,
    ApiJson(PasswordParams { old, new }): ApiJson<PasswordParams>,
) -> Result<impl IntoResponse> {
    let attempt = throttle.begin_password_attempt(&user).await?;
    let (db, account, refresh) = (ctx.db.clone(), user.clone(), RefreshId::for_login());
    let client = throttle.client();
    let changing = async move {
        let requester = Requester {
            priority: HashPriority::AccountChange,
            ..attempt.requester()
        };
        let changing = account.change_password(&db, &old, new, session.id, refresh, requester);
        let changed = changing.await;
        match &changed {
            Err(UserError::WrongPassword) => {
                tracing::warn!(%client, user = account.id, "password not changed: wrong current password");
                drop(attempt);
            }
            Ok(_) | Err(UserError::CommonPassword | UserError::SessionEnded) => {
                attempt.succeed().await;
            }
            Err(_) => attempt.undo().await,
        }
        changed
    };
    let renewed: Result<_, UserError> = channels.run_and_recheck_sessions(&user, changing).await?;
    token_response(&tokens, &base, &renewed?, refresh)
}

/// Ends a session of the current user. Returns whether the user had the session.
async fn end_session_by_id(
    ctx: &AppContext,
    channels: &Channels,
    current: AuthenticatedUser,
    id: Uuid,
) -> Result<bool> {
    let (db, user_id) = (ctx.db.clone(), current.user.id);
    let ending = async move { sessions::Model::revoke(&db, user_id, id).await };
    Ok(channels
        .run_and_recheck_sessions(&current.user, ending)
        .await??)
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/logout", post(logout))
        .add("/sessions", get(list).delete(end_other_sessions))
        .add("/sessions/{id}", delete(end_session))
        .add("/me/password", put(change_password))
}
