//! Every way in which a request can fail.
//!
//! What is the client's fault is told to the client; what is ours is logged, once, and told as
//! `internal` or `unavailable`: see [`answers`].

mod answers;

use std::borrow::Cow;

use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

pub use self::answers::as_json;
use crate::{
    channels::NotStored,
    limits::{Full, TooFast},
    models::{
        hashing::Busy,
        messages::TextError,
        passwords::PasswordError,
        refusals::{NotDone, Refusal},
        users::UserError,
    },
    views::errors::FieldErrors,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As the base contract tells it.
    #[error("no live access token")]
    Unauthenticated,
    #[error("no live access token")]
    Unauthorized,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Text(TextError),
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// As the base contract tells it.
    #[error("too many requests")]
    ContractTooFast(TooFast),
    #[error("too many registrations")]
    RegisterTooFast(TooFast),
    #[error(transparent)]
    Full(#[from] Full),
    #[error("unknown user, wrong password or inactive account")]
    NoActiveAccount,
    #[error("not a live refresh token")]
    InvalidRefreshToken,
    #[error("the username is taken")]
    UsernameTaken,
    #[error("a registration with faults")]
    RegisterRefused { error: String, errors: FieldErrors },
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
    TooSlow,
    #[error("too many connections of one client")]
    TooManyConnections,
    #[error("not found")]
    NotFound,
    #[error("the body is too large")]
    TooLarge,
    #[error("the body is not declared as JSON")]
    UnsupportedMediaType,
    #[error("not a WebSocket handshake")]
    UpgradeRequired,
    #[error("overloaded")]
    Unavailable,
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
    pub fn required(field: &'static str) -> Self {
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
        if may_pass(&error) {
            tracing::warn!(%error, "the database is out of reach");
            return Self::Unavailable;
        }
        if matches!(error, DbErr::RecordNotUpdated) {
            // Somebody has deleted it since it was read.
            return Self::NotFound;
        }
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => {
                Refusal::Conflict("There is one already.").into()
            }
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => {
                Refusal::Conflict("What it refers to is not there.").into()
            }
            _ if is_unstorable(&error) => Self::invalid("A value cannot be stored."),
            _ => Self::internal(error),
        }
    }
}

impl From<NotDone> for Error {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::Refused(refusal) => refusal.into(),
            NotDone::Db(error) => error.into(),
            NotDone::Aborted => Self::Unavailable,
        }
    }
}

impl From<NotStored> for Error {
    fn from(_: NotStored) -> Self {
        // The writer has logged why.
        Self::Unavailable
    }
}

/// Whether the same may go well in a moment: the database is away, restarts, or is locked by others
/// for longer than we wait.
fn may_pass(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                SqlxError::Io(_) | SqlxError::PoolTimedOut | SqlxError::WorkerCrashed => true,
                SqlxError::Database(error) => error.code().is_some_and(|code| {
                    // SQLITE_BUSY with its extended codes; PostgreSQL's connection exceptions,
                    // rolled back transactions, lack of resources, operator intervention, and a
                    // lock that somebody else holds for long.
                    // (Those of PostgreSQL have five characters, which may all be digits.)
                    (code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code % 256 == 5))
                        || code == "55P03"
                        || ["08", "40", "53", "57"]
                            .iter()
                            .any(|class| code.len() == 5 && code.starts_with(class))
                }),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether PostgreSQL has no place for a value: a text that is too long or has a NUL in it, a number or
/// a time out of range. What else is wrong with data (class 22) is our fault.
fn is_unstorable(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["22001", "22003", "22008", "22021", "22P05"].contains(&code.as_ref()))
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Self {
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
            UserError::Password(error) => error.into(),
            UserError::Db(error) => error.into(),
        }
    }
}

impl From<loco_rs::Error> for Error {
    fn from(error: loco_rs::Error) -> Self {
        Self::internal(error)
    }
}

impl From<jsonwebtoken::errors::Error> for Error {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        Self::internal(error)
    }
}
