//! The errors of requests. Each variant is one way in which a request can fail.
//!
//! A response describes an error of the client in detail. An error of the server is logged, and the response states
//! only `internal` or `unavailable`: see [`responses`].

mod responses;

use std::borrow::Cow;

use sea_orm::DbErr;

pub use self::responses::ensure_json_errors;
use crate::{
    database::{DbErrorKind, Outage, classify},
    limits::{Overloaded, RateLimited, TooManyConnections, TooManySockets},
    metrics::METRICS,
    models::{
        hashing::HashingBusy,
        passwords::PasswordError,
        rejections::{CommandError, Rejection},
        users::UserError,
    },
    views::errors::FieldErrors,
};

/// The text for a required field that is missing.
pub const FIELD_REQUIRED: &str = "This field is required.";

/// The text for a password that needs few guesses.
pub const COMMON_PASSWORD: &str = "This password is too common.";

/// An error of a request.
///
/// Clients receive the texts of `Rejected`, `FieldTooLarge` and `Invalid`. The other texts are for the log: for these
/// errors, `responses` has the texts for clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid access token, in the form of the base contract.
    #[error("no valid access token")]
    BaseApiUnauthorized,
    #[error("no valid credential")]
    Unauthorized,
    #[error("the access token has expired")]
    TokenExpired,
    #[error("invalid access token")]
    TokenInvalid,
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("{detail}")]
    FieldTooLarge {
        detail: String,
        field: Option<Cow<'static, str>>,
    },
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    #[error("too many registrations")]
    RegisterRateLimited(RateLimited),
    #[error(transparent)]
    TooManySockets(#[from] TooManySockets),
    #[error("unknown user, wrong password or inactive account")]
    NoActiveAccount,
    #[error("invalid refresh token")]
    InvalidRefreshToken,
    #[error("the username is taken")]
    UsernameTaken,
    #[error("invalid body")]
    InvalidFields(FieldErrors),
    #[error("{detail}")]
    Invalid {
        detail: String,
        field: Option<Cow<'static, str>>,
    },
    #[error("origin not allowed")]
    ForeignOrigin,
    #[error("host not allowed")]
    ForeignHost,
    #[error("the body was not received in time")]
    RequestTimeout,
    #[error("too many connections from one client")]
    TooManyClientConnections,
    #[error("not found")]
    NotFound,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body is not declared as JSON")]
    UnsupportedMediaType,
    #[error("the body has a Content-Encoding")]
    UnsupportedContentEncoding,
    #[error("the body has a transfer coding other than chunked")]
    UnsupportedTransferCoding,
    /// An error of the body of a registration, in the form of that endpoint.
    #[error("invalid registration")]
    InvalidRegistration(Box<Self>),
    #[error("not a WebSocket handshake")]
    UpgradeRequired,
    #[error("a WebSocket handshake without the subprotocol of rich sockets")]
    SubprotocolRequired,
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error("temporarily unavailable")]
    Unavailable,
    #[error("database unavailable: {}", .0.code())]
    DatabaseDown(Outage),
    #[error("{0}")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

/// The reason why a client was refused, as an extension of the response. The server logs it with the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

/// The result of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an [`Error::Invalid`] that names no field.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid {
            detail: detail.into(),
            field: None,
        }
    }

    /// Returns the reason, if a limit or the origin of the request refuses a client.
    fn refusal(&self) -> Option<Refusal> {
        Some(Refusal(match self {
            Self::RateLimited(_) | Self::Rejected(Rejection::RateLimited(_)) => "too many requests",
            Self::RegisterRateLimited(_) => "too many registrations",
            Self::TooManySockets(TooManySockets::User) => "too many sockets of a user",
            Self::TooManySockets(TooManySockets::Network) => "too many sockets of a network",
            Self::TooManyClientConnections => "too many connections",
            Self::ForeignOrigin => "foreign origin",
            Self::ForeignHost => "unknown host",
            _ => return None,
        }))
    }

    fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        let kind = classify(&error);
        METRICS.database_errors.inc([kind.class()]);
        if let Some(outage) = kind.outage() {
            let reason = outage.code();
            if outage.is_transient() {
                tracing::warn!(%error, reason, "database unavailable");
            } else {
                tracing::error!(%error, reason, "database unavailable");
            }
            return Self::DatabaseDown(outage);
        }
        match kind {
            // Another request deleted the row after this request had read it.
            DbErrorKind::RowMissing => Self::NotFound,
            DbErrorKind::UniqueViolation => {
                Rejection::Conflict("An object with this value already exists; send another value.")
                    .into()
            }
            DbErrorKind::ForeignKeyViolation => Rejection::Conflict(
                "The referenced object does not exist; refer to another object.",
            )
            .into(),
            DbErrorKind::InvalidValue => Self::invalid("A value cannot be stored."),
            _ => Self::internal(error),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => rejection.into(),
            CommandError::Db(error) => {
                let kind = classify(&error);
                if kind.is_row_specific() || kind.outage().is_some() {
                    return error.into();
                }
                // The error is unknown. Nothing was stored, so the client may send the command again.
                tracing::error!(%error, "command of a request not stored");
                Self::Unavailable
            }
            // The writer has logged these errors, except for `Aborted`: the server stops, or it forbids writes.
            CommandError::LogBehind(_)
            | CommandError::OutcomeUnknown(_)
            | CommandError::Aborted => Self::Unavailable,
        }
    }
}

impl From<TooManyConnections> for Error {
    fn from(reason: TooManyConnections) -> Self {
        match reason {
            TooManyConnections::Node => Self::Unavailable,
            TooManyConnections::Client => Self::TooManyClientConnections,
        }
    }
}

impl From<HashingBusy> for Error {
    fn from(HashingBusy { retry_after }: HashingBusy) -> Self {
        // The queue has logged this, once for many requests.
        Self::Overloaded(Overloaded { retry_after })
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy(busy) => busy.into(),
            error => Self::internal(error),
        }
    }
}

impl From<UserError> for Error {
    fn from(error: UserError) -> Self {
        match error {
            UserError::UsernameTaken => Self::UsernameTaken,
            // `register` handles this error itself, so `new` is the field of a password change.
            UserError::CommonPassword => Self::Invalid {
                detail: COMMON_PASSWORD.to_owned(),
                field: Some("new".into()),
            },
            UserError::WrongPassword => Self::Invalid {
                detail: "The current password is wrong.".to_owned(),
                field: Some("old".into()),
            },
            UserError::SessionEnded => Self::TokenInvalid,
            UserError::Password(error) => error.into(),
            UserError::Db(error) => error.into(),
        }
    }
}

impl From<loco_rs::Error> for Error {
    fn from(error: loco_rs::Error) -> Self {
        match error {
            loco_rs::Error::DB(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<jsonwebtoken::errors::Error> for Error {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        // Only signing ends here. `Tokens::verify` reports an invalid token as `TokenError`.
        Self::internal(error)
    }
}

/// Returns the text of the last cause of an error, which is the most exact one.
#[must_use]
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
