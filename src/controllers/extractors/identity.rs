//! The user of a request, and the user's membership of the group in the path.
//!
//! A handler that takes a [`GroupMember`] cannot forget the check: it is never called without the membership.

use std::{
    collections::HashMap,
    future::Future,
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
    http::{HeaderMap, header, request::Parts},
};
use loco_rs::app::AppContext;
use tracing::Span;

use super::{AllowedOrigin, body::has_non_json_body};
use crate::{
    channels::{Channels, Member},
    errors::{Error, Result},
    limits::{RateKey, RequestLimits},
    models::{
        chat_groups,
        events::Actor,
        group_commands::{CommandKind, GroupCommand},
        memberships::{self, Role},
        rejections::Rejection,
        sessions::{self, ActiveSession, TokenClaims},
        users,
    },
    tokens::{TokenError, TokenType, Tokens},
};

/// The highest number of sessions that are looked up for one request with several valid cookies.
const MAX_SESSIONS_TRIED: usize = 8;

/// The cookie that carries the access token to the socket.
pub const ACCESS_COOKIE: &str = "access";

/// The user of a request, after authentication. The server counts unsent responses by user.
#[derive(Clone, Default)]
pub struct RequestUser(Arc<OnceLock<i64>>);

impl RequestUser {
    fn set(&self, user_id: i64) {
        // One request has one user.
        let _ = self.0.set(user_id);
    }

    /// Returns the id of the user. `None` before authentication.
    #[must_use]
    pub fn user_id(&self) -> Option<i64> {
        self.0.get().copied()
    }
}

/// An authenticated user with the session.
pub struct AuthenticatedUser {
    pub user: users::Model,
    pub session: ActiveSession,
}

/// A way to authenticate a request.
pub trait Authenticator: Sized {
    /// Returns the user and the session of a request.
    fn authenticate(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> impl Future<Output = Result<AuthenticatedUser>> + Send;
}

/// The active user of the access token in the `Authorization` header; 401 without a valid token.
///
/// A cookie does not count, so a foreign page cannot send requests to the API in the user's name.
pub struct CurrentUser(pub users::Model);

impl Authenticator for CurrentUser {
    async fn authenticate(parts: &mut Parts, ctx: &AppContext) -> Result<AuthenticatedUser> {
        let token = authorization_token(parts).ok_or(Error::Unauthorized)?;
        let authenticated = authenticate_token(&token, ctx).await?;
        if let Some(request_user) = parts.extensions.get::<RequestUser>() {
            request_user.set(authenticated.user.id);
        }
        if parts.method.is_safe() {
            shared_limits(ctx)?
                .reads
                .check(RateKey::User(authenticated.user.id))?;
        }
        if has_non_json_body(parts) {
            return Err(Error::UnsupportedMediaType);
        }
        Ok(authenticated)
    }
}

impl FromRequestParts<AppContext> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let authenticated = Self::authenticate(parts, ctx).await?;
        Ok(Self(authenticated.user))
    }
}

/// A [`CurrentUser`] with the session of the access token.
pub struct CurrentSession(pub AuthenticatedUser);

impl FromRequestParts<AppContext> for CurrentSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        Ok(Self(CurrentUser::authenticate(parts, ctx).await?))
    }
}

/// A [`CurrentUser`] for endpoints of the base contract, which defines the text of the 401.
pub struct BaseApiUser(pub users::Model);

impl FromRequestParts<AppContext> for BaseApiUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let authenticated = CurrentUser::authenticate(parts, ctx).await;
        Ok(Self(authenticated.map_err(for_base_api)?.user))
    }
}

/// The active user of the access token in the cookie `access`; 401 without a valid token.
///
/// Only base sockets use it, after the check of [`AllowedOrigin`].
pub struct BaseSocketUser;

impl Authenticator for BaseSocketUser {
    async fn authenticate(parts: &mut Parts, ctx: &AppContext) -> Result<AuthenticatedUser> {
        authenticate_by_cookie(parts, ctx)
            .await
            .map_err(for_base_api)
    }
}

/// The active user of a rich socket.
///
/// The first credential that the request has counts: the subprotocol `bearer.<jwt>`, the `Authorization` header, or
/// the cookie. Pages of other origins may not use the cookie.
pub struct RichSocketUser;

impl Authenticator for RichSocketUser {
    async fn authenticate(parts: &mut Parts, ctx: &AppContext) -> Result<AuthenticatedUser> {
        match subprotocol_token(parts).or_else(|| authorization_token(parts)) {
            Some(token) => authenticate_claims(&verify_access_token(&token, ctx)?, ctx).await,
            None if access_cookies(&parts.headers).next().is_none() => Err(Error::Unauthorized),
            None => {
                AllowedOrigin::from_request_parts(parts, ctx).await?;
                authenticate_by_cookie(parts, ctx).await
            }
        }
    }
}

/// The group in the path, and the user as its member; 401 without a user, 404 for a user who is not a member.
pub struct GroupMember<I> {
    pub user: users::Model,
    pub session: ActiveSession,
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
    authenticator: PhantomData<I>,
}

impl<I> GroupMember<I> {
    /// Returns the member as the channels need it.
    #[must_use]
    pub fn channel_member(&self) -> Member {
        Member::new(&self.user, &self.group, &self.membership)
    }

    /// Returns a command of this member. `cid` is the client's own id of a command about messages.
    #[must_use]
    pub fn command(&self, cid: Option<String>, kind: CommandKind) -> GroupCommand {
        GroupCommand {
            group_id: self.group.id,
            actor: Some(Actor::from_user(&self.user)),
            cid,
            kind,
        }
    }

    /// Checks that this member has at least a role.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] for a member with a lower role.
    pub fn require_role(&self, role: Role) -> Result<()> {
        if self.membership.role() < role {
            return Err(Rejection::Forbidden.into());
        }
        Ok(())
    }
}

impl<I: Authenticator + Send> FromRequestParts<AppContext> for GroupMember<I> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let AuthenticatedUser { user, session } = I::authenticate(parts, ctx).await?;
        let name = group_name(parts).await?;
        let (group, membership) = chat_groups::Model::find_for_member(&ctx.db, &name, &user)
            .await?
            .ok_or(Error::NotFound)?;
        Span::current().record("group", group.name.as_str());
        Ok(Self {
            user,
            session,
            group,
            membership,
            authenticator: PhantomData,
        })
    }
}

/// A [`GroupMember`] for a socket, which needs only a part of the group's row.
pub struct SocketMember<I> {
    pub user: users::Model,
    pub session: ActiveSession,
    pub member: Member,
    authenticator: PhantomData<I>,
}

impl<I: Authenticator + Send> FromRequestParts<AppContext> for SocketMember<I> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let AuthenticatedUser { user, session } = I::authenticate(parts, ctx).await?;
        let name = group_name(parts).await?;
        let member = shared_channels(ctx)?.find_member(&user, &name).await?;
        let member = member.ok_or(Error::NotFound)?;
        Span::current().record("group", &*member.group_name);
        Ok(Self {
            user,
            session,
            member,
            authenticator: PhantomData,
        })
    }
}

/// Returns the name of the group in the path.
async fn group_name(parts: &mut Parts) -> Result<String> {
    let path = parts.extract::<Path<HashMap<String, String>>>().await;
    let name = path
        .ok()
        .and_then(|Path(mut path)| path.remove("group_name"));
    name.ok_or(Error::NotFound)
}

fn shared_limits(ctx: &AppContext) -> Result<Arc<RequestLimits>> {
    let limits = ctx.shared_store.get::<Arc<RequestLimits>>();
    Ok(limits.ok_or_else(|| loco_rs::Error::string("the limits were not set up"))?)
}

fn shared_channels(ctx: &AppContext) -> Result<Channels> {
    let channels = ctx.shared_store.get::<Channels>();
    Ok(channels.ok_or_else(|| loco_rs::Error::string("the channels were not opened"))?)
}

async fn authenticate_token(access_token: &str, ctx: &AppContext) -> Result<AuthenticatedUser> {
    let claims = verify_access_token(access_token, ctx)?;
    let active = sessions::Model::find_active(&ctx.db, &claims).await?;
    let active = active.ok_or(Error::TokenInvalid)?;
    Span::current().record("user", active.user.id);
    Ok(AuthenticatedUser {
        session: active.to_active(),
        user: active.user,
    })
}

/// Admits the user of the cookie `access` to a socket.
///
/// Other hosts of the same site can set a cookie of this name too (RFC 6265, section 8.6), and the base contract rules
/// out the prefix `__Host-`. A cookie that is not a valid token is ignored, so that a cookie of another host locks no
/// user out. Valid tokens of two users are rejected: one of them may belong to an attacker, who wants the user to write
/// in the attacker's name.
async fn authenticate_by_cookie(parts: &Parts, ctx: &AppContext) -> Result<AuthenticatedUser> {
    let candidates: Vec<_> = access_cookies(&parts.headers)
        .filter_map(|token| verify_access_token(&token, ctx).ok())
        .collect();
    let mut users = candidates.iter().map(|claims| claims.user_id);
    let first = users.next().ok_or(Error::Unauthorized)?;
    if users.any(|user| user != first) {
        return Err(Error::Unauthorized);
    }
    for claims in candidates.iter().take(MAX_SESSIONS_TRIED) {
        match authenticate_claims(claims, ctx).await {
            Err(Error::TokenInvalid) => {}
            result => return result,
        }
    }
    Err(Error::Unauthorized)
}

/// Admits the user of a token to a socket, which ends with the session.
async fn authenticate_claims(claims: &TokenClaims, ctx: &AppContext) -> Result<AuthenticatedUser> {
    let active = shared_channels(ctx)?.find_active_session(claims).await?;
    let (session, user) = active.ok_or(Error::TokenInvalid)?;
    Span::current().record("user", user.id);
    Ok(AuthenticatedUser { session, user })
}

fn verify_access_token(access_token: &str, ctx: &AppContext) -> Result<TokenClaims> {
    let tokens = ctx
        .shared_store
        .get_ref::<Tokens>()
        .ok_or_else(|| loco_rs::Error::string("the tokens were not set up"))?;
    tokens
        .verify(TokenType::Access, access_token)
        .map_err(|error| match error {
            TokenError::Expired => Error::TokenExpired,
            TokenError::Invalid => Error::TokenInvalid,
        })
}

/// Returns an error as the base contract defines it.
fn for_base_api(error: Error) -> Error {
    match error {
        Error::Unauthorized | Error::TokenExpired | Error::TokenInvalid => {
            Error::BaseApiUnauthorized
        }
        other => other,
    }
}

/// Returns the token of the `Authorization` header. Two such headers are rejected, because a proxy may have
/// checked the other one. (The typed header of the crate `headers` would take the first.)
fn authorization_token(parts: &Parts) -> Option<String> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next().filter(|_| headers.next().is_none());
    parse_bearer(header?.to_str().ok()?).map(ToOwned::to_owned)
}

/// Returns the values of the cookies named `access`, in the order of the header.
///
/// `CookieJar` keeps one cookie of each name, and drops a line with a byte that is not ASCII. This function
/// splits the header as bytes: a cookie of another app may hold any byte, and other hosts may set a cookie of
/// this name too. A value may be quoted (RFC 6265, section 4.1.1). Values are not percent-decoded, or other
/// texts would be valid tokens too.
fn access_cookies(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(equals);
        if name.trim_ascii() != ACCESS_COOKIE.as_bytes() {
            return None;
        }
        let value = str::from_utf8(value).ok()?.strip_prefix('=')?.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        Some(unquoted.unwrap_or(value).to_owned())
    })
}

/// Returns the token of an offered subprotocol `bearer.<jwt>`, the only credential that a script in a browser can give
/// a socket.
fn subprotocol_token(parts: &Parts) -> Option<String> {
    let offers = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offers
        .filter_map(|offers| offers.to_str().ok())
        .flat_map(|offers| offers.split(','))
        .find_map(|offer| offer.trim().strip_prefix("bearer."))
        .map(ToOwned::to_owned)
}

/// Returns the token of `Bearer <token>`, with the scheme in any letter case (RFC 9110, section 11.1).
fn parse_bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
