//! Where a user is logged in, and how that ends.

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
    auth::{give_tokens, no_cookie},
    extractors::{Allowance, Confirmation, CurrentSession, Identified, OptionalFields, PublicBase},
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        hashing::{Priority, Requester},
        passwords::Password,
        sessions::{self, RefreshId},
        users::UserError,
    },
    tokens::Tokens,
    views::{
        auth::TokenPair,
        errors::{BodyRefused, Invalid, NotFound, TooFast, Unauthorized, Unavailable},
        sessions::{Session, Sessions},
    },
};

/// Sessions that are listed.
const LISTED: u64 = 200;

/// A password for another.
#[derive(Deserialize, ToSchema)]
pub struct PasswordParams {
    #[schema(example = "a staple of batteries", format = Password)]
    pub old: String,
    /// 8 to 128 characters, not among the most common passwords.
    #[schema(example = "a battery of staples", min_length = 8, max_length = 128, format = Password)]
    pub new: String,
}

/// Log out.
///
/// The session of this access token ends: its tokens are good for nothing any more, and its sockets
/// are closed with 4410.
#[utoipa::path(
    post, path = "/api/logout/", operation_id = "logout", tag = "accounts",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Logged out, and the cookie `access` is gone.",
            headers(("Set-Cookie" = String, description = "`access=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0`"))),
        Unauthorized, TooFast, Unavailable,
    ),
)]
pub async fn logout(
    CurrentSession(asking): CurrentSession,
    State(ctx): State<AppContext>,
    allowance: Allowance,
    SharedStore(channels): SharedStore<Channels>,
    base: PublicBase,
) -> Result<impl IntoResponse> {
    allowance.change(Some(&asking.user))?;
    let id = asking.session.id;
    // It may have been ended elsewhere meanwhile: all the same.
    end(&ctx, &channels, asking, id).await?;
    Ok((StatusCode::NO_CONTENT, no_cookie(&base)))
}

/// List where you are logged in, the last used first, 200 at most.
#[utoipa::path(
    get, path = "/api/sessions/", operation_id = "list_sessions", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 200, description = "Your sessions.", body = Sessions), Unauthorized, TooFast, Unavailable),
)]
pub async fn list(
    CurrentSession(Identified { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
) -> Result<Json<Sessions>> {
    let found = sessions::Model::list(&ctx.db, user.id, LISTED).await?;
    let results = found
        .into_iter()
        .map(|found| Session::new(found, session.id))
        .collect();
    Ok(Json(Sessions { results }))
}

/// End a session, wherever it is. Its sockets are closed with 4410.
#[utoipa::path(
    delete, path = "/api/sessions/{id}/", operation_id = "end_session", tag = "accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, example = "67e55044-10b1-426f-9247-bb680e5fe0c8")),
    responses((status = 204, description = "It has ended."), NotFound, Unauthorized, TooFast, Unavailable),
)]
pub async fn end_one(
    CurrentSession(asking): CurrentSession,
    State(ctx): State<AppContext>,
    allowance: Allowance,
    SharedStore(channels): SharedStore<Channels>,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    allowance.change(Some(&asking.user))?;
    let id = id.parse().map_err(|_| Error::NotFound)?;
    if end(&ctx, &channels, asking, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}

/// End all your other sessions. Their sockets are closed with 4410.
///
/// This cannot be undone, so the request repeats your username: `?confirm=<username>`, or
/// `{"confirm": "<username>"}` as its body.
#[utoipa::path(
    delete, path = "/api/sessions/", operation_id = "end_other_sessions", tag = "accounts",
    security(("bearer" = [])),
    params(("confirm" = Option<String>, Query, description = "Your username, unless the body has it.", example = "nora")),
    responses((status = 204, description = "This is the only one."), Invalid, Unauthorized, BodyRefused, TooFast, Unavailable),
)]
pub async fn end_others(
    CurrentSession(Identified { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    allowance: Allowance,
    SharedStore(channels): SharedStore<Channels>,
    confirmation: Confirmation,
) -> Result<StatusCode> {
    allowance.change(Some(&user))?;
    confirmation.check("username", |given| user.is_named(given))?;
    let (db, user_id) = (ctx.db.clone(), user.id);
    let ending = async move { sessions::Model::end_all(&db, user_id, Some(session.id)).await };
    channels.ended(&user, ending).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Change your password. All your other sessions end.
///
/// Every token that was issued before is invalid from then on, those of this session too: the answer has
/// new ones, and the cookie `access` is set again. The sockets of this session stay open. A wrong current
/// password counts as a login that failed: after ten failures in a row each further attempt must wait.
#[utoipa::path(
    put, path = "/api/me/password/", operation_id = "change_password", tag = "accounts",
    security(("bearer" = [])),
    request_body = PasswordParams,
    responses(
        (status = 200, description = "The password is changed. These are the new tokens.", body = TokenPair,
            headers(("Set-Cookie" = String, description = "`access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`"))),
        Invalid, Unauthorized, BodyRefused, TooFast, Unavailable,
    ),
)]
pub async fn change_password(
    CurrentSession(Identified { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    SharedStore(tokens): SharedStore<Tokens>,
    base: PublicBase,
    allowance: Allowance,
    fields: OptionalFields,
) -> Result<impl IntoResponse> {
    let old = fields.required("old", |text| Ok(text.to_owned()))?;
    let new = fields.required("new", Password::parse)?;
    let attempt = allowance.password(&user).await?;
    let (db, asking, refresh) = (ctx.db.clone(), user.clone(), RefreshId::first());
    let changing = async move {
        let requester = Requester {
            priority: Priority::Account,
            ..attempt.requester()
        };
        let changing = asking.change_password(&db, &old, new, session.id, refresh, requester);
        let changed = changing.await;
        match &changed {
            Err(UserError::WrongPassword) => drop(attempt),
            Ok(_) | Err(UserError::CommonPassword | UserError::SessionEnded) => {
                attempt.succeeded().await;
            }
            Err(_) => attempt.undone().await,
        }
        changed
    };
    let renewed: Result<_, UserError> = channels.ended(&user, changing).await?;
    give_tokens(&tokens, &base, &renewed?, refresh)
}

/// Says whether there was such a session.
async fn end(ctx: &AppContext, channels: &Channels, asking: Identified, id: Uuid) -> Result<bool> {
    let (db, user_id) = (ctx.db.clone(), asking.user.id);
    let ending = async move { sessions::Model::end(&db, user_id, id).await };
    Ok(channels.ended(&asking.user, ending).await??)
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/logout", post(logout))
        .add("/sessions", get(list).delete(end_others))
        .add("/sessions/{id}", delete(end_one))
        .add("/me/password", put(change_password))
}
