//! Accounts and tokens.

#[allow(unused_imports, reason = "named by the document")]
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

use super::extractors::{ACCESS_COOKIE, BodyFields, PublicBase, Throttle};
use crate::{
    channels::Channels,
    errors::{COMMON_PASSWORD, Error, Result},
    models::{
        passwords::Password,
        sessions::{self, ActiveSession, RefreshId, RefreshOutcome, UnsignedRefreshToken},
        usernames::{Username, parse_display_name},
        users::{self, NewUser, UserError},
    },
    settings::Settings,
    tokens::{TokenType, Tokens},
    views::{
        auth::{AccessToken, Registered, TokenPair},
        errors::{
            BodyErrors, Detail, FieldErrors, RateLimited, Refusal, RegisterRefused,
            RegistrationBodyErrors, RegistrationRateLimited, Unavailable,
        },
    },
};

/// An account to be created.
#[derive(Deserialize, ToSchema)]
pub struct RegisterParams {
    /// What others see; not unique.
    #[schema(example = "Nora Lind", min_length = 1, max_length = 150)]
    pub name: String,
    /// Letters and digits of any script and `@ . + - _`; unique without regard to letter case, and to
    /// letters that look alike.
    #[schema(example = "nora", min_length = 1, max_length = 150)]
    pub username: String,
    /// 8 to 128 characters, not among the most common passwords.
    #[schema(example = "a staple of batteries", min_length = 8, max_length = 128, format = Password)]
    pub password: String,
}

/// A login.
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
    #[schema(
        example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln"
    )]
    pub refresh: String,
    /// Whether to answer a new refresh token too. Left out, the answer has `access` alone.
    #[schema(example = false)]
    pub rotate: Option<bool>,
}

/// Create an account.
#[utoipa::path(
    post, path = "/api/register/", operation_id = "register", tag = "accounts",
    request_body = RegisterParams,
    responses(
        (status = 201, description = "The account was created.", body = Registered),
        (status = 400, description = "The username is taken, or a field is at fault.", body = RegisterRefused),
        RegistrationBodyErrors,
        RegistrationRateLimited,
        Unavailable,
    ),
)]
pub async fn register(
    State(ctx): State<AppContext>,
    allowance: Throttle,
    fields: Result<BodyFields>,
) -> Result<impl IntoResponse> {
    let requester = allowance.check_registration()?;
    let fields = fields.map_err(|error| Error::InvalidRegistrationBody(error.into()))?;
    let registered = users::Model::register(&ctx.db, parse_new_user(fields)?, requester);
    let user = registered.await.map_err(|error| match error {
        UserError::CommonPassword => register_field_error("password", COMMON_PASSWORD),
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
        (status = 200, description = "Logged in.", body = TokenPair,
            headers(("Set-Cookie" = String, description = "`access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`"))),
        (status = 400, description = "The body is not these two strings; each field at fault is named.",
            body = HashMap<String, Vec<String>>, example = json!({"password": ["This field is required."]})),
        (status = 401, description = "Unknown user, wrong password or inactive account.", body = Refusal,
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
    allowance: Throttle,
    base: PublicBase,
    headers: HeaderMap,
    mut fields: BodyFields,
) -> Result<impl IntoResponse> {
    let credentials = (
        fields.required_text("username"),
        fields.required_text("password"),
    );
    let (Some(username), Some(password)) = credentials else {
        return Err(Error::InvalidFields(fields.errors));
    };
    let attempt = allowance.begin_login_attempt(&username).await?;
    let requester = attempt.requester();
    let found = users::Model::authenticate(&ctx.db, &username, &password, requester);
    let user = attempt.finish(found).await?.ok_or(Error::NoActiveAccount)?;
    Span::current().record("user", user.id);
    let refresh = RefreshId::for_login();
    let lifetime = tokens.lifetime(TokenType::Refresh);
    let agent = user_agent(&headers);
    let most = Settings::from_context(&ctx)?.limits.sessions_per_user;
    let (session, has_ended_others) =
        sessions::Model::create_for_login(&ctx.db, &user, agent, lifetime, refresh, most)
            .await?
            .ok_or(Error::NoActiveAccount)?;
    if has_ended_others {
        channels.recheck_sessions(&user);
    }
    token_response(&tokens, &base, &session, refresh)
}

/// Answers a new pair of tokens, and sets the cookie.
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
/// or until the new token is replaced. A later use of the old token means that somebody has a copy: the session ends.
#[utoipa::path(
    post, path = "/api/token/refresh/", operation_id = "token_refresh", tag = "accounts",
    request_body = RefreshParams,
    responses(
        (status = 200, description = "A new access token.", body = AccessToken,
            headers(("Set-Cookie" = String, description = "`access=<jwt>; HttpOnly; SameSite=Lax; Path=/; Max-Age=…`"))),
        (status = 400, description = "The body is not a JSON object.", body = Detail,
            example = json!({"detail": "The body must be a JSON object.", "code": "invalid"})),
        (status = 401, description = "Not a live refresh token.", body = Refusal,
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
    allowance: Throttle,
    base: PublicBase,
    mut fields: BodyFields,
) -> Result<impl IntoResponse> {
    allowance.check_refresh()?;
    if let Some(fault) = fields.body_error() {
        return Err(Error::invalid(fault));
    }
    let refresh = fields
        .required_text("refresh")
        .ok_or(Error::InvalidRefreshToken)?;
    let claimed = tokens
        .verify(TokenType::Refresh, &refresh)
        .map_err(|_| Error::InvalidRefreshToken)?;
    let lifetime = tokens.lifetime(TokenType::Refresh);
    let rotate = fields.is_true("rotate");
    let refreshed = sessions::Model::refresh(&ctx.db, claimed, rotate, lifetime).await?;
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

fn parse_new_user(mut fields: BodyFields) -> Result<NewUser> {
    if let Some(fault) = fields.body_error() {
        return Err(Error::InvalidRegistration {
            error: fault.to_owned(),
            errors: Default::default(),
        });
    }
    let name = fields.parse_required("name", parse_display_name);
    let username = fields.parse_required("username", Username::parse);
    let password = fields.parse_required("password", Password::parse);
    match (name, username, password) {
        (Some(name), Some(username), Some(password)) => Ok(NewUser {
            name,
            username,
            password,
        }),
        _ => Err(Error::InvalidRegistration {
            error: fields.errors.first_message(),
            errors: fields.errors,
        }),
    }
}

/// The refusal of a registration for one field.
fn register_field_error(field: &'static str, fault: &str) -> Error {
    let mut errors = FieldErrors::default();
    errors.add(field, fault);
    Error::InvalidRegistration {
        error: errors.first_message(),
        errors,
    }
}

/// What a client calls itself.
fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT)?.to_str().ok()
}

/// The access token for the socket, where scripts cannot read it.
fn access_cookie(token: &str, tokens: &Tokens, base: &PublicBase) -> CookieJar {
    build_cookie(
        token,
        tokens.lifetime(TokenType::Access).num_seconds(),
        base,
    )
}

/// Has a browser forget the access token.
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
