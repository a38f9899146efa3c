//! Every way in which a request can fail.
//!
//! What is the client's fault is told to the client; what is ours is logged, once, and told as
//! `internal` or `unavailable`: see [`answers`].

mod responses;

use std::borrow::Cow;

use sea_orm::DbErr;

pub use self::responses::ensure_json_errors;
use crate::{
    channels::StoreError,
    database::{DbErrorKind, Outage, classify},
    limits::{RateLimited, TooManySockets},
    models::{
        hashing::HashingBusy,
        messages::TextError,
        passwords::PasswordError,
        rejections::{CommandError, Rejection},
        users::UserError,
    },
    views::errors::FieldErrors,
};

/// The text for a password that an attacker guesses early.
pub const COMMON_PASSWORD: &str = "This password is too common.";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As the base contract tells it.
    #[error("no live access token")]
    BasicApiUnauthorized,
    #[error("no access token")]
    Unauthorized,
    #[error("the access token has expired")]
    TokenExpired,
    #[error("not a live access token")]
    TokenInvalid,
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("{0}")]
    InvalidText(TextError),
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    #[error("too many registrations")]
    RegisterRateLimited(RateLimited),
    #[error(transparent)]
    TooManySockets(#[from] TooManySockets),
    #[error("unknown user, wrong password or inactive account")]
    NoActiveAccount,
    #[error("not a live refresh token")]
    InvalidRefreshToken,
    #[error("the username is taken")]
    UsernameTaken,
    #[error("a registration with faults")]
    InvalidRegistration { error: String, errors: FieldErrors },
    #[error("a body with faults")]
    InvalidFields(FieldErrors),
    #[error("{detail}")]
    Invalid {
        detail: String,
        field: Option<Cow<'static, str>>,
    },
    #[error("a foreign origin")]
    ForeignOrigin,
    #[error("a foreign host")]
    ForeignHost,
    #[error("the body takes too long")]
    RequestTimeout,
    #[error("too many connections of one client")]
    TooManyConnections,
    #[error("not found")]
    NotFound,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body is not declared as JSON")]
    UnsupportedMediaType,
    #[error("the body is encoded")]
    UnsupportedContentEncoding,
    #[error("the body has a transfer coding other than chunked")]
    UnsupportedTransferCoding,
    /// An error of the body of a registration, in the form of that endpoint.
    #[error("a registration with an unreadable body")]
    InvalidRegistrationBody(Box<Self>),
    #[error("not a WebSocket handshake")]
    UpgradeRequired,
    #[error("a WebSocket handshake without the subprotocol of rich sockets")]
    SubprotocolRequired,
    #[error("overloaded")]
    Unavailable,
    #[error("the database does not serve: {}", .0.code())]
    DatabaseDown(Outage),
    #[error("{0}")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid {
            detail: detail.into(),
            field: None,
        }
    }

    /// A field that must be there is not.
    #[must_use]
    pub fn missing_field(field: &'static str) -> Self {
        Self::Invalid {
            detail: "This field is required.".to_owned(),
            field: Some(field.into()),
        }
    }

    fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        let kind = classify(&error);
        if let Some(outage) = kind.outage() {
            let reason = outage.code();
            if outage.is_transient() {
                tracing::warn!(%error, reason, "the database does not serve");
            } else {
                tracing::error!(%error, reason, "the database does not serve");
            }
            return Self::DatabaseDown(outage);
        }
        if matches!(error, DbErr::RecordNotUpdated) {
            // Somebody has deleted it since it was read.
            return Self::NotFound;
        }
        match kind {
            DbErrorKind::UniqueViolation => Rejection::Conflict("There is one already.").into(),
            DbErrorKind::ForeignKeyViolation => {
                Rejection::Conflict("What it refers to is not there.").into()
            }
            DbErrorKind::InvalidValue => Self::invalid("A value cannot be stored."),
            _ => Self::internal(error),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(refusal) => refusal.into(),
            CommandError::Db(error) => error.into(),
            CommandError::Aborted => Self::Unavailable,
        }
    }
}

impl From<StoreError> for Error {
    fn from(_: StoreError) -> Self {
        // The writer has logged why.
        Self::Unavailable
    }
}

impl From<HashingBusy> for Error {
    fn from(_: HashingBusy) -> Self {
        // It was logged, once for many.
        Self::Unavailable
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
            UserError::CommonPassword => Self::Invalid {
                detail: COMMON_PASSWORD.to_owned(),
                field: Some("new".into()),
            },
            UserError::WrongPassword => Self::Invalid {
                detail: "This is not your password.".to_owned(),
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
        Self::internal(error)
    }
}
