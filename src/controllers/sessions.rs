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
    auth::no_cookie,
    extractors::{Allowance, CurrentSession, Identified, OptionalFields, PublicBase},
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{passwords::Password, sessions, users::UserError},
    views::{
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
        Unauthorized, Unavailable,
    ),
)]
pub async fn logout(
    CurrentSession(asking): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    base: PublicBase,
) -> Result<impl IntoResponse> {
    let id = asking.session.id;
    // It may have been ended elsewhere meanwhile: all the same.
    end(&ctx, &channels, asking, id).await?;
    Ok((StatusCode::NO_CONTENT, no_cookie(&base)))
}

/// List where you are logged in, the last used first, 200 at most.
#[utoipa::path(
    get, path = "/api/sessions/", operation_id = "list_sessions", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 200, description = "Your sessions.", body = Sessions), Unauthorized, Unavailable),
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
    responses((status = 204, description = "It has ended."), NotFound, Unauthorized, Unavailable),
)]
pub async fn end_one(
    CurrentSession(asking): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    let id = id.parse().map_err(|_| Error::NotFound)?;
    if end(&ctx, &channels, asking, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}

/// End all your other sessions. Their sockets are closed with 4410.
#[utoipa::path(
    delete, path = "/api/sessions/", operation_id = "end_other_sessions", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 204, description = "This is the only one."), Unauthorized, Unavailable),
)]
pub async fn end_others(
    CurrentSession(Identified { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
) -> Result<StatusCode> {
    let (db, user_id) = (ctx.db.clone(), user.id);
    let ending = async move { sessions::Model::end_all(&db, user_id, Some(session.id)).await };
    channels.ended(&user, ending).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Change your password. All your other sessions end.
///
/// A wrong old one counts as a login that failed: after ten of them in a row each further attempt must
/// wait.
#[utoipa::path(
    put, path = "/api/me/password/", operation_id = "change_password", tag = "accounts",
    security(("bearer" = [])),
    request_body = PasswordParams,
    responses((status = 204, description = "The new one holds."), Invalid, Unauthorized, BodyRefused, TooFast, Unavailable),
)]
pub async fn change_password(
    CurrentSession(Identified { user, session }): CurrentSession,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    allowance: Allowance,
    fields: OptionalFields,
) -> Result<StatusCode> {
    let old = fields.required("old", |text| Ok(text.to_owned()))?;
    let new = fields.required("new", Password::parse)?;
    let attempt = allowance.password(&user).await?;
    let about = vec![user.name.clone(), user.username.clone()];
    let is_common = new.is_common(about).await;
    if !matches!(is_common, Ok(false)) {
        attempt.undone().await;
        is_common?;
        return Err(Error::Invalid {
            detail: "This password is too common.".to_owned(),
            field: Some("new".into()),
        });
    }
    let (db, asking) = (ctx.db.clone(), user.clone());
    let changing = async move {
        let changing = asking.change_password(&db, &old, new, session.id);
        let changed = async { Ok(changing.await?.then_some(())) };
        attempt.settle(changed).await
    };
    let changed: Result<_, UserError> = channels.ended(&user, changing).await?;
    if changed?.is_none() {
        return Err(Error::Invalid {
            detail: "This is not your password.".to_owned(),
            field: Some("old".into()),
        });
    }
    Ok(StatusCode::NO_CONTENT)
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
