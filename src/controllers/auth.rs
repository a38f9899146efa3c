//! Registration, login, and the refresh of tokens.

#[allow(
    unused_imports,
    reason = "named in the attributes of the OpenAPI document"
)]
use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::post,
};
use serde::Deserialize;
use time::Duration;
use tracing::Span;
use utoipa::ToSchema;

use super::extractors::{ACCESS_COOKIE, BaseApiJson, PublicBase, Throttle, lenient};
use crate::{
    channels::Channels,
    errors::{COMMON_PASSWORD, Error, Result},
    models::{
        passwords::Password,
        sessions::{self, ActiveSession, RefreshId, RefreshOutcome, UnsignedRefreshToken},
        usernames::{DisplayName, Username},
        users::{self, LoginFailure, NewUser, UserError},
    },
    settings::Settings,
    tokens::{TokenType, Tokens},
    views::{
        auth::{AccessToken, Registered, TokenPair},
        errors::{
            ApiError, BaseError, BodyErrors, FieldErrors, RateLimited, RegisterErrors,
            RegistrationBodyErrors, RegistrationRateLimited, Unavailable,
        },
    },
};

/// A new account.
#[derive(Deserialize, ToSchema)]
pub struct RegisterParams {
    /// The display name, which other users see. It need not be unique.
    #[schema(value_type = String, example = "Nora Lind", min_length = 1, max_length = 150)]
    pub name: DisplayName,
    /// The username consists of letters and digits of any script and `@ . + - _`, with at least one letter or digit. It
    /// is unique: names that differ only in letter case are the same. Names that look alike are the same, unless both
    /// consist of ASCII characters.
    #[schema(value_type = String, example = "nora", min_length = 1, max_length = 150)]
    pub username: Username,
    /// The password has 8 to 128 characters. A password that is easy to guess, also from the name or the username, is
    /// rejected.
    #[schema(value_type = String, example = "a staple of batteries", min_length = 8, max_length = 128, format = Password)]
    pub password: Password,
}

/// The credentials of a login.
#[derive(Deserialize, ToSchema)]
pub struct TokenParams {
    #[schema(example = "nora")]
    pub username: String,
    #[schema(example = "a staple of batteries", format = Password)]
    pub password: String,
}

/// A refresh token, exchanged for a new access token.
#[derive(Deserialize, ToSchema)]
pub struct RefreshParams {
    // The base contract requires 401 for a value of another type, as for an invalid token.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(
        required, value_type = String,
        example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln"
    )]
    pub refresh: Option<String>,
    /// If `true`, the response also has a new refresh token. Otherwise the response has `access` alone.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(example = false)]
    pub rotate: Option<bool>,
}

/// Create an account.
#[utoipa::path(
    post, path = "/api/register/", operation_id = "register", tag = "accounts",
    request_body = RegisterParams,
    responses(
        (status = 201, description = "The account was created.", body = Registered),
        (status = 400, description = "The username is taken, a field is invalid, or the body is not a JSON object.", body = RegisterErrors),
        RegistrationBodyErrors,
        RegistrationRateLimited,
        Unavailable,
    ),
)]
pub async fn register(
    State(ctx): State<AppContext>,
    throttle: Throttle,
    body: Result<BaseApiJson<RegisterParams>>,
) -> Result<impl IntoResponse> {
    let requester = throttle.check_registration()?;
    let for_registration = |error: Error| Error::InvalidRegistration(error.into());
    let BaseApiJson(params) = body.map_err(for_registration)?;
    let new_user = NewUser {
        name: params.name.into(),
        username: params.username,
        password: params.password,
    };
    let user = users::Model::register(&ctx.db, new_user, requester).await;
    let user = user.map_err(|error| match error {
        UserError::CommonPassword => for_registration(Error::InvalidFields(FieldErrors::of(
            ["password"],
            COMMON_PASSWORD,
        ))),
        error => error.into(),
    })?;
    Span::current().record("user", user.id);
    Ok((StatusCode::CREATED, Json(Registered::from(user))))
}

/// Log in.
///
/// The response also sets the access token as the cookie `access`, for base sockets. After ten failed logins in a row
/// for one username, each further attempt must wait. The wait doubles each time, up to a minute.
#[utoipa::path(
    post, path = "/api/token/", operation_id = "token", tag = "accounts",
    request_body = TokenParams,
    responses(
        (status = 200, description = "The login succeeded. The response has the tokens.", body = TokenPair,
            headers(("Set-Cookie" = String, description = "The cookie is `access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`, with `Secure` where clients use HTTPS."))),
        (status = 400, description = "The field `username` or `password` is missing or not a string, or the body is not a JSON object. The response names each invalid field.",
            body = HashMap<String, Vec<String>>, example = json!({"password": ["This field is required."]})),
        (status = 401, description = "The user is unknown, the password is wrong, or the account is inactive.", body = BaseError,
            example = json!({"detail": "No active account found with the given credentials"})),
        BodyErrors,
        RateLimited,
        Unavailable,
    ),
)]
pub async fn login(
    State(ctx): State<AppContext>,
    SharedStore(tokens): SharedStore<Tokens>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    base: PublicBase,
    headers: HeaderMap,
    body: Result<BaseApiJson<TokenParams>>,
) -> Result<impl IntoResponse> {
    let BaseApiJson(TokenParams { username, password }) = body.map_err(|error| match error {
        // The base contract requires an error for each of the two fields, also if the body is not a JSON object.
        Error::Invalid { detail, .. } => {
            Error::InvalidFields(FieldErrors::of(["username", "password"], &detail))
        }
        error => error,
    })?;
    let attempt = throttle.begin_login_attempt(&username).await?;
    let requester = attempt.requester();
    let authenticating = users::Model::authenticate(&ctx.db, &username, &password, requester);
    let authenticated = attempt.finish(authenticating).await?;
    let user = authenticated.map_err(|failure| reject_login(&throttle, failure))?;
    Span::current().record("user", user.id);
    let refresh = RefreshId::for_login();
    let lifetime = tokens.lifetime(TokenType::Refresh);
    let agent = user_agent(&headers);
    let max_sessions = Settings::from_context(&ctx)?.limits.sessions_per_user;
    let (session, has_ended_others) =
        sessions::Model::create_for_login(&ctx.db, &user, agent, lifetime, refresh, max_sessions)
            .await?
            .ok_or_else(|| {
                // The account became inactive after the check.
                reject_login(&throttle, LoginFailure::Inactive { user: user.id })
            })?;
    if has_ended_others {
        channels.recheck_sessions(&user);
    }
    token_response(&tokens, &base, &session, refresh)
}

/// Logs a failed login, and returns the error, which does not reveal the reason.
///
/// The username is not logged, because users type passwords into this field. The limit of logins of a network bounds the
/// number of these lines.
fn reject_login(throttle: &Throttle, failure: LoginFailure) -> Error {
    tracing::warn!(
        client = %throttle.client(),
        user = failure.user(),
        reason = failure.reason(),
        "login failed"
    );
    Error::NoActiveAccount
}

/// Returns the response with a new pair of tokens and the cookie.
pub(super) fn token_response(
    tokens: &Tokens,
    base: &PublicBase,
    session: &ActiveSession,
    refresh: RefreshId,
) -> Result<(CookieJar, Json<TokenPair>)> {
    let pair = TokenPair {
        access: tokens.issue_access(session)?,
        refresh: tokens.issue_refresh(session, UnsignedRefreshToken::issue_now(refresh))?,
    };
    Ok((access_cookie(&pair.access, tokens, base), Json(pair)))
}

/// Get a new access token.
///
/// The refresh token stays valid, and the response sets the cookie `access` again. With `"rotate": true`, the response
/// has a new refresh token too. All rotations of one refresh token within 10 s return the same new token, so that two
/// tabs can refresh at the same time. The old refresh token is valid until 10 s after the first use of the new token,
/// or until the first use of the new token's own successor. A later use of the old token can only come from a copy: the
/// session ends.
#[utoipa::path(
    post, path = "/api/token/refresh/", operation_id = "token_refresh", tag = "accounts",
    request_body = RefreshParams,
    responses(
        (status = 200, description = "The response has a new access token.", body = AccessToken,
            headers(("Set-Cookie" = String, description = "The cookie is `access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`, with `Secure` where clients use HTTPS."))),
        (status = 400, description = "The body is not a JSON object.", body = ApiError,
            example = json!({"detail": "The body must be a JSON object.", "code": "invalid"})),
        (status = 401, description = "The refresh token is invalid or expired.", body = BaseError,
            example = json!({"detail": "Token is invalid or expired"})),
        BodyErrors,
        RateLimited,
        Unavailable,
    ),
)]
pub async fn refresh(
    State(ctx): State<AppContext>,
    SharedStore(tokens): SharedStore<Tokens>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    base: PublicBase,
    body: Result<BaseApiJson<RefreshParams>>,
) -> Result<impl IntoResponse> {
    throttle.check_refresh()?;
    let BaseApiJson(RefreshParams { refresh, rotate }) = body?;
    let refresh = refresh.ok_or(Error::InvalidRefreshToken)?;
    let claims = tokens
        .verify(TokenType::Refresh, &refresh)
        .map_err(|_| Error::InvalidRefreshToken)?;
    let lifetime = tokens.lifetime(TokenType::Refresh);
    let rotate = rotate.unwrap_or(false);
    let refreshed = sessions::Model::refresh(&ctx.db, claims, rotate, lifetime).await?;
    let (session, next_token) = match refreshed {
        RefreshOutcome::Active {
            session,
            next_token,
        } => (session, next_token),
        RefreshOutcome::SessionNotFound => return Err(Error::InvalidRefreshToken),
        RefreshOutcome::TokenReused { user } => {
            tracing::warn!(user = user.id, "refresh token reused: session revoked");
            channels.recheck_sessions(&user);
            return Err(Error::InvalidRefreshToken);
        }
    };
    Span::current().record("user", session.user_id);
    let access = tokens.issue_access(&session)?;
    let refresh = next_token.map(|token| tokens.issue_refresh(&session, token));
    Ok((
        access_cookie(&access, &tokens, &base),
        Json(AccessToken {
            access,
            refresh: refresh.transpose()?,
        }),
    ))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/register", post(register))
        .add("/token", post(login))
        .add("/token/refresh", post(refresh))
}

/// Returns the header `User-Agent` of a request.
fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT)?.to_str().ok()
}

/// Returns the cookie with the access token for sockets. Scripts cannot read the cookie.
fn access_cookie(token: &str, tokens: &Tokens, base: &PublicBase) -> CookieJar {
    build_cookie(
        token,
        tokens.lifetime(TokenType::Access).num_seconds(),
        base,
    )
}

/// Returns an expired cookie, which makes a browser delete the access token.
pub(super) fn expired_cookie(base: &PublicBase) -> CookieJar {
    build_cookie("", 0, base)
}

fn build_cookie(token: &str, max_age: i64, base: &PublicBase) -> CookieJar {
    let cookie = Cookie::build((ACCESS_COOKIE, token.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::seconds(max_age))
        .secure(base.is_https());
    CookieJar::new().add(cookie)
}
