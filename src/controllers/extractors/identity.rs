//! Who asks, and whether they belong to the group they name. A handler that takes a
//! [`GroupMember`] cannot forget to check: without the membership it is never called.

use std::{collections::HashMap, future::Future};

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
    http::{header, request::Parts},
};
use axum_extra::extract::CookieJar;
use loco_rs::app::AppContext;

use crate::{
    errors::{Error, Result},
    models::{chat_groups, memberships, users},
    tokens::{TokenType, Tokens},
};

/// The cookie that carries the access token to the socket.
pub const ACCESS_COOKIE: &str = "access";

/// A way to tell who asks.
pub trait Identity: Sized {
    fn identify(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> impl Future<Output = Result<users::Model>> + Send;
}

/// The active user whose access token the `Authorization` header bears; 401 without one. A cookie
/// does not count: that is what keeps the API safe from cross-site requests.
pub struct CurrentUser(pub users::Model);

impl Identity for CurrentUser {
    async fn identify(parts: &mut Parts, ctx: &AppContext) -> Result<users::Model> {
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok());
        let token = header
            .and_then(bearer_token)
            .ok_or(Error::Unauthenticated)?
            .to_owned();
        user_of(&token, ctx).await
    }
}

impl FromRequestParts<AppContext> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        Self::identify(parts, ctx).await.map(Self)
    }
}

/// The active user whose access token is in the cookie `access`; 401 without one. For sockets
/// alone, where [`super::AllowedOrigin`] stands before it.
pub struct CookieUser;

impl Identity for CookieUser {
    async fn identify(parts: &mut Parts, ctx: &AppContext) -> Result<users::Model> {
        let jar = CookieJar::from_headers(&parts.headers);
        let token = jar
            .get(ACCESS_COOKIE)
            .ok_or(Error::Unauthenticated)?
            .value()
            .to_owned();
        user_of(&token, ctx).await
    }
}

/// The group named in the path, to which the user belongs; 401 for nobody, 404 for a stranger.
pub struct GroupMember<I> {
    pub user: users::Model,
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
    identity: std::marker::PhantomData<I>,
}

impl<I: Identity + Send> FromRequestParts<AppContext> for GroupMember<I> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let user = I::identify(parts, ctx).await?;
        let Path(path) = parts
            .extract::<Path<HashMap<String, String>>>()
            .await
            .map_err(|_| Error::NotFound)?;
        let name = path.get("group_name").ok_or(Error::NotFound)?;
        let (group, membership) = chat_groups::Model::find_for_member(&ctx.db, name, &user)
            .await?
            .ok_or(Error::NotFound)?;
        Ok(Self {
            user,
            group,
            membership,
            identity: std::marker::PhantomData,
        })
    }
}

async fn user_of(access_token: &str, ctx: &AppContext) -> Result<users::Model> {
    let tokens = ctx
        .shared_store
        .get_ref::<Tokens>()
        .ok_or_else(|| loco_rs::Error::string("the tokens were not set up"))?;
    let id = tokens
        .verify(TokenType::Access, access_token)
        .map_err(|_| Error::Unauthenticated)?;
    drop(tokens);
    users::Model::find_active(&ctx.db, id)
        .await?
        .ok_or(Error::Unauthenticated)
}

/// The token of `Bearer <token>`; the scheme in any letter case (RFC 9110, section 11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
