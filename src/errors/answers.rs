//! The one place that maps errors to answers. All answers are JSON.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Error;
use crate::{
    limits::TooFast,
    models::{messages::TextError, refusals::Refusal},
    views::errors::{self as views, Detail, FieldErrors, RegisterRefused},
};

const SLOW_DOWN: &str = "Too many requests; slow down.";

const BODY_TOO_LARGE: &str = "The body is too large.";

const SEND_JSON: &str = "Send the body as application/json.";

const SEND_UNENCODED: &str = "Send the body without a Content-Encoding.";

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// The headers of a 426: the protocol to upgrade to and its version.
const TO_WEBSOCKET: [(HeaderName, &str); 3] = [
    (header::CONNECTION, "upgrade"),
    (header::UPGRADE, "websocket"),
    (header::SEC_WEBSOCKET_VERSION, "13"),
];

/// When to try again to open a socket where there is no room for one more.
const SEAT_AFTER: Duration = Duration::from_secs(10);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer")],
                refusal("Authentication credentials were not provided"),
            )
                .into_response(),
            Self::Unauthorized => (
                [(header::WWW_AUTHENTICATE, "Bearer")],
                by_status(StatusCode::UNAUTHORIZED),
            )
                .into_response(),
            // RFC 6750, section 3.1.
            Self::TokenExpired => (
                [(header::WWW_AUTHENTICATE, INVALID_TOKEN)],
                detailed(
                    StatusCode::UNAUTHORIZED,
                    "token_expired",
                    "The access token has expired; refresh it.",
                ),
            )
                .into_response(),
            Self::TokenInvalid => (
                [(header::WWW_AUTHENTICATE, INVALID_TOKEN)],
                detailed(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "The access token is not valid, or its session has ended.",
                ),
            )
                .into_response(),
            // Who is no member of a group does not hear that it exists.
            Self::Refused(Refusal::NotMember) => by_status(StatusCode::NOT_FOUND),
            Self::Refused(Refusal::TooOften(wait)) => Self::TooFast(TooFast(wait)).into_response(),
            Self::Refused(refusal) => (
                status_of(&refusal),
                Json(Detail {
                    detail: refusal.to_string(),
                    code: refusal.code(),
                    field: refusal.field().map(Into::into),
                }),
            )
                .into_response(),
            Self::Text(error) => (
                match error {
                    TextError::Blank => StatusCode::BAD_REQUEST,
                    TextError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
                },
                Json(Detail {
                    detail: error.to_string(),
                    code: error.code(),
                    field: Some("text".into()),
                }),
            )
                .into_response(),
            Self::TooFast(wait) => after(wait, by_status(StatusCode::TOO_MANY_REQUESTS)),
            Self::RegisterTooFast(wait) => after(
                wait,
                Json(RegisterRefused {
                    error: SLOW_DOWN.to_owned(),
                    errors: FieldErrors::default(),
                }),
            ),
            // Who has as many as there may be must close one, and nobody knows when.
            Self::Full(_) => after(
                TooFast(SEAT_AFTER),
                detailed(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "Too many sockets; close one.",
                ),
            ),
            Self::NoActiveAccount => (
                StatusCode::UNAUTHORIZED,
                refusal("No active account found with the given credentials"),
            )
                .into_response(),
            Self::InvalidRefreshToken => (
                StatusCode::UNAUTHORIZED,
                refusal("Token is invalid or expired"),
            )
                .into_response(),
            Self::UsernameTaken => bad_request(RegisterRefused {
                error: "Username already used".to_owned(),
                errors: FieldErrors::default(),
            }),
            Self::RegisterRefused { error, errors } => {
                bad_request(RegisterRefused { error, errors })
            }
            Self::InvalidFields(errors) => bad_request(errors),
            Self::Invalid { detail, field } => bad_request(Detail {
                detail,
                code: "invalid",
                field,
            }),
            Self::ForeignOrigin => detailed(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This origin may not open a socket here.",
            ),
            Self::ForeignHost => detailed(
                StatusCode::MISDIRECTED_REQUEST,
                "invalid",
                "This server does not go by that name.",
            ),
            Self::TooSlow => by_status(StatusCode::REQUEST_TIMEOUT),
            Self::TooManyConnections => (
                [(header::RETRY_AFTER, "10")],
                by_status(StatusCode::TOO_MANY_REQUESTS),
            )
                .into_response(),
            Self::NotFound => by_status(StatusCode::NOT_FOUND),
            Self::TooLarge => by_status(StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => by_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            // RFC 9110, section 15.5.16.
            Self::ContentEncoding => (
                [(header::ACCEPT_ENCODING, "identity")],
                detailed(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "invalid",
                    SEND_UNENCODED,
                ),
            )
                .into_response(),
            Self::TransferCoding => (
                [(header::CONNECTION, "close")],
                detailed(
                    StatusCode::NOT_IMPLEMENTED,
                    "invalid",
                    "The only Transfer-Encoding that is supported is chunked.",
                ),
            )
                .into_response(),
            Self::RegisterBody(error) => register_body(&error),
            // A 426 names what to upgrade to (RFC 9110, section 15.5.22), and the version of it
            // (RFC 6455, section 4.4).
            Self::UpgradeRequired => {
                (TO_WEBSOCKET, by_status(StatusCode::UPGRADE_REQUIRED)).into_response()
            }
            Self::SubprotocolRequired => (
                TO_WEBSOCKET,
                detailed(
                    StatusCode::UPGRADE_REQUIRED,
                    "invalid",
                    "Offer the subprotocol chat.v1.json.",
                ),
            )
                .into_response(),
            Self::Unavailable => by_status(StatusCode::SERVICE_UNAVAILABLE),
            Self::DatabaseDown(outage) => {
                let mut response = by_status(StatusCode::SERVICE_UNAVAILABLE);
                // For readiness: see `server/writes.rs`.
                response.extensions_mut().insert(outage);
                response
            }
            Self::Internal(error) => {
                tracing::error!(%error, "a request failed");
                by_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// Gives every error answer that is not JSON yet a JSON body: those of the router (404, 405), of
/// the framework and of extractors. Status and headers, such as `Allow`, stay.
pub async fn as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let (body_parts, body) = by_status(status).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(body_parts.headers);
    Response::from_parts(parts, Body::new(body))
}

const fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NotMember | Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Forbidden | Refusal::Banned => StatusCode::FORBIDDEN,
        Refusal::NoSuchMessage { .. } => StatusCode::BAD_REQUEST,
        Refusal::Gone | Refusal::GroupGone => StatusCode::GONE,
        Refusal::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
        // Who takes something away first may ask again (RFC 9110, section 15.5.10).
        Refusal::CidReused | Refusal::Conflict(_) | Refusal::LimitExceeded(_) => {
            StatusCode::CONFLICT
        }
    }
}

/// The answer to who must wait.
fn after(TooFast(wait): TooFast, body: impl IntoResponse) -> Response {
    // Whole seconds, and not one too few (RFC 9110, section 10.2.3).
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, seconds.max(1).to_string())],
        body,
    )
        .into_response()
}

fn refusal(detail: &str) -> Json<views::Refusal> {
    Json(views::Refusal {
        detail: detail.to_owned(),
    })
}

/// The answer to a registration whose body cannot be read: with the key `error`, as that endpoint answers.
fn register_body(error: &Error) -> Response {
    let (status, error) = match error {
        Error::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, BODY_TOO_LARGE.to_owned()),
        Error::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, SEND_JSON.to_owned()),
        Error::ContentEncoding => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            SEND_UNENCODED.to_owned(),
        ),
        error => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    let errors = FieldErrors::default();
    (status, Json(RegisterRefused { error, errors })).into_response()
}

fn bad_request(body: impl Serialize) -> Response {
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// The answer to a status that says all there is to say.
fn by_status(status: StatusCode) -> Response {
    let (code, detail) = match status {
        StatusCode::UNAUTHORIZED => (
            "unauthorized",
            "Authentication credentials were not provided",
        ),
        StatusCode::FORBIDDEN => ("forbidden", "This is not allowed."),
        StatusCode::NOT_FOUND => ("not_found", "Not found."),
        StatusCode::METHOD_NOT_ALLOWED => ("invalid", "Method not allowed; see the Allow header."),
        StatusCode::REQUEST_TIMEOUT => ("invalid", "The request took too long."),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", BODY_TOO_LARGE),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("invalid", SEND_JSON),
        StatusCode::UPGRADE_REQUIRED => ("invalid", "This is a WebSocket; ask for the upgrade."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("too_large", "The headers are too large."),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limited", SLOW_DOWN),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not at the moment; try again soon."),
        status if status.is_client_error() => ("invalid", "The request is malformed."),
        _ => ("internal", "Something went wrong here; it has been logged."),
    };
    let mut response = detailed(status, code, detail);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn detailed(status: StatusCode, code: &'static str, detail: &str) -> Response {
    let detail = detail.to_owned();
    (
        status,
        Json(Detail {
            detail,
            code,
            field: None,
        }),
    )
        .into_response()
}
