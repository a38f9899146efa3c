//! The mapping of errors to responses. All responses are JSON.

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
    limits::{Overloaded, RateLimited},
    models::rejections::Rejection,
    views::errors::{self as views, ApiError, FieldErrors, RegisterErrors},
};

const RATE_LIMITED_TEXT: &str = "Too many requests; slow down.";

const BODY_TOO_LARGE_TEXT: &str = "The body is too large.";

const JSON_REQUIRED_TEXT: &str = "Send the body as application/json.";

const UNENCODED_REQUIRED_TEXT: &str = "Send the body without a Content-Encoding.";

const INVALID_TOKEN_CHALLENGE: &str = "Bearer error=\"invalid_token\"";

/// The headers of a 426: the protocol to upgrade to and its version.
const UPGRADE_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONNECTION, "upgrade"),
    (header::UPGRADE, "websocket"),
    (header::SEC_WEBSOCKET_VERSION, "13"),
];

/// The time after which a client may try again to open a socket, when a limit of sockets is reached.
const SOCKET_RETRY_AFTER: Duration = Duration::from_secs(10);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = self.into_json_response();
        if let Some(refusal) = refusal {
            response.extensions_mut().insert(refusal);
        }
        response
    }
}

impl Error {
    fn into_json_response(self) -> Response {
        match self {
            Self::BaseApiUnauthorized => (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer")],
                base_api_error("Authentication credentials were not provided"),
            )
                .into_response(),
            Self::Unauthorized => (
                [(header::WWW_AUTHENTICATE, "Bearer")],
                status_error(StatusCode::UNAUTHORIZED),
            )
                .into_response(),
            // RFC 6750, section 3.1.
            Self::TokenExpired => (
                [(header::WWW_AUTHENTICATE, INVALID_TOKEN_CHALLENGE)],
                detail_error(
                    StatusCode::UNAUTHORIZED,
                    "token_expired",
                    "The access token has expired; refresh it.",
                ),
            )
                .into_response(),
            Self::TokenInvalid => (
                [(header::WWW_AUTHENTICATE, INVALID_TOKEN_CHALLENGE)],
                detail_error(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "The access token is not valid, or its session has ended.",
                ),
            )
                .into_response(),
            // A user who is not a member of a group does not learn whether the group exists.
            Self::Rejected(Rejection::NotMember) => status_error(StatusCode::NOT_FOUND),
            Self::Rejected(Rejection::RateLimited(limited)) => {
                Self::RateLimited(limited).into_response()
            }
            Self::Rejected(rejection) => (
                rejection_status(&rejection),
                Json(ApiError {
                    detail: rejection.to_string(),
                    code: rejection.code(),
                    field: rejection.field().map(Into::into),
                }),
            )
                .into_response(),
            Self::FieldTooLarge { detail, field } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                Json(ApiError {
                    detail,
                    code: "too_large",
                    field,
                }),
            )
                .into_response(),
            Self::RateLimited(limited) => {
                too_many_requests(limited, status_error(StatusCode::TOO_MANY_REQUESTS))
            }
            Self::RegisterRateLimited(limited) => too_many_requests(
                limited,
                Json(RegisterErrors {
                    error: RATE_LIMITED_TEXT.to_owned(),
                    errors: FieldErrors::default(),
                }),
            ),
            // The client must close another socket first, so the time is a guess.
            Self::TooManySockets(_) => too_many_requests(
                RateLimited {
                    retry_after: SOCKET_RETRY_AFTER,
                },
                detail_error(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "Too many sockets; close one.",
                ),
            ),
            Self::NoActiveAccount => (
                StatusCode::UNAUTHORIZED,
                base_api_error("No active account found with the given credentials"),
            )
                .into_response(),
            Self::InvalidRefreshToken => (
                StatusCode::UNAUTHORIZED,
                base_api_error("Token is invalid or expired"),
            )
                .into_response(),
            Self::UsernameTaken => bad_request(RegisterErrors {
                error: "Username already used".to_owned(),
                errors: FieldErrors::default(),
            }),
            Self::InvalidFields(errors) => bad_request(errors),
            Self::Invalid { detail, field } => bad_request(ApiError {
                detail,
                code: "invalid",
                field,
            }),
            Self::ForeignOrigin => detail_error(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This origin is not allowed to open a socket.",
            ),
            Self::ForeignHost => detail_error(
                StatusCode::MISDIRECTED_REQUEST,
                "invalid",
                "This server does not serve this host name.",
            ),
            Self::RequestTimeout => status_error(StatusCode::REQUEST_TIMEOUT),
            Self::TooManyClientConnections => (
                [(header::RETRY_AFTER, "10")],
                status_error(StatusCode::TOO_MANY_REQUESTS),
            )
                .into_response(),
            Self::NotFound => status_error(StatusCode::NOT_FOUND),
            Self::BodyTooLarge => status_error(StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => status_error(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            // RFC 9110, section 15.5.16.
            Self::UnsupportedContentEncoding => (
                [(header::ACCEPT_ENCODING, "identity")],
                detail_error(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "invalid",
                    UNENCODED_REQUIRED_TEXT,
                ),
            )
                .into_response(),
            Self::UnsupportedTransferCoding => (
                [(header::CONNECTION, "close")],
                detail_error(
                    StatusCode::NOT_IMPLEMENTED,
                    "invalid",
                    "The only Transfer-Encoding that is supported is chunked.",
                ),
            )
                .into_response(),
            Self::InvalidRegistration(error) => registration_error(*error),
            // A 426 names the protocol to upgrade to (RFC 9110, section 15.5.22), and its version (RFC 6455,
            // section 4.4).
            Self::UpgradeRequired => {
                (UPGRADE_HEADERS, status_error(StatusCode::UPGRADE_REQUIRED)).into_response()
            }
            Self::SubprotocolRequired => (
                UPGRADE_HEADERS,
                detail_error(
                    StatusCode::UPGRADE_REQUIRED,
                    "invalid",
                    "Offer the subprotocol chat.v1.json.",
                ),
            )
                .into_response(),
            Self::Overloaded(Overloaded { retry_after }) => {
                with_retry_after(retry_after, status_error(StatusCode::SERVICE_UNAVAILABLE))
            }
            Self::Unavailable => status_error(StatusCode::SERVICE_UNAVAILABLE),
            Self::DatabaseDown(outage) => {
                let mut response = status_error(StatusCode::SERVICE_UNAVAILABLE);
                // Readiness uses the outage: see `server/write_guard.rs`.
                response.extensions_mut().insert(outage);
                response
            }
            Self::Internal(error) => {
                tracing::error!(%error, "request failed");
                status_error(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// Gives each error response that is not JSON a JSON body. Status and headers, such as `Allow`, stay.
///
/// Such responses come from the router (404, 405), from the framework and from extractors.
pub async fn ensure_json_errors(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let (body_parts, body) = status_error(status).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(body_parts.headers);
    Response::from_parts(parts, Body::new(body))
}

const fn rejection_status(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::NotMember | Rejection::NotFound => StatusCode::NOT_FOUND,
        Rejection::Forbidden | Rejection::Banned => StatusCode::FORBIDDEN,
        Rejection::MessageNotFound { .. } | Rejection::InvalidValue => StatusCode::BAD_REQUEST,
        Rejection::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Rejection::MessageDeleted | Rejection::GroupDeleted => StatusCode::GONE,
        Rejection::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
        // The client can remove the conflict and send the request again (RFC 9110, section 15.5.10).
        Rejection::CidReused | Rejection::Conflict(_) | Rejection::LimitExceeded(_) => {
            StatusCode::CONFLICT
        }
    }
}

/// Returns the response for a client that has reached a rate limit.
fn too_many_requests(limited: RateLimited, body: impl IntoResponse) -> Response {
    with_retry_after(
        limited.retry_after,
        (StatusCode::TOO_MANY_REQUESTS, body).into_response(),
    )
}

/// Returns the response with the time to wait, in whole seconds, rounded up (RFC 9110, section 10.2.3).
fn with_retry_after(retry_after: Duration, mut response: Response) -> Response {
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let value = HeaderValue::from(seconds.max(1));
    response.headers_mut().insert(header::RETRY_AFTER, value);
    response
}

fn base_api_error(detail: &str) -> Json<views::BaseError> {
    Json(views::BaseError {
        detail: detail.to_owned(),
    })
}

/// Returns the response to a registration with an invalid body. That endpoint uses the key `error`.
fn registration_error(error: Error) -> Response {
    let (status, error, errors) = match error {
        Error::InvalidFields(errors) => (StatusCode::BAD_REQUEST, errors.first_message(), errors),
        error => {
            let (status, text) = match error {
                Error::BodyTooLarge => (
                    StatusCode::PAYLOAD_TOO_LARGE,
                    BODY_TOO_LARGE_TEXT.to_owned(),
                ),
                Error::UnsupportedMediaType => (
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    JSON_REQUIRED_TEXT.to_owned(),
                ),
                Error::UnsupportedContentEncoding => (
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    UNENCODED_REQUIRED_TEXT.to_owned(),
                ),
                error => (StatusCode::BAD_REQUEST, error.to_string()),
            };
            (status, text, FieldErrors::default())
        }
    };
    (status, Json(RegisterErrors { error, errors })).into_response()
}

fn bad_request(body: impl Serialize) -> Response {
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// Returns the response for a status that needs no further detail.
fn status_error(status: StatusCode) -> Response {
    let (code, detail) = match status {
        StatusCode::UNAUTHORIZED => (
            "unauthorized",
            "Authentication credentials were not provided",
        ),
        StatusCode::FORBIDDEN => ("forbidden", "This is not allowed."),
        StatusCode::NOT_FOUND => ("not_found", "Not found."),
        StatusCode::METHOD_NOT_ALLOWED => ("invalid", "Method not allowed; see the Allow header."),
        StatusCode::REQUEST_TIMEOUT => ("invalid", "The request took too long."),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", BODY_TOO_LARGE_TEXT),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("invalid", JSON_REQUIRED_TEXT),
        StatusCode::UPGRADE_REQUIRED => {
            ("invalid", "This is a WebSocket; send an upgrade request.")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("too_large", "The headers are too large."),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limited", RATE_LIMITED_TEXT),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("unavailable", "Temporarily unavailable; try again soon.")
        }
        status if status.is_client_error() => ("invalid", "The request is malformed."),
        _ => ("internal", "Internal server error; it has been logged."),
    };
    let mut response = detail_error(status, code, detail);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn detail_error(status: StatusCode, code: &'static str, detail: &str) -> Response {
    let detail = detail.to_owned();
    (
        status,
        Json(ApiError {
            detail,
            code,
            field: None,
        }),
    )
        .into_response()
}
