//! The reasons why a command is not executed.

use sea_orm::DbErr;

use super::log::LogBehind;
use crate::{database::classify, limits::RateLimited};

/// The reason why a rule forbids a command. Its text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("You are not a member of this group.")]
    NotMember,
    #[error("You may not do this.")]
    Forbidden,
    #[error("Not found.")]
    NotFound,
    #[error("This message does not exist.")]
    MessageNotFound { field: &'static str },
    #[error("This message was deleted.")]
    MessageDeleted,
    #[error("This group was deleted.")]
    GroupDeleted,
    #[error("This id was used for another request.")]
    CidReused,
    #[error("You are banned from this group.")]
    Banned,
    /// The command conflicts with the current state. The text states what to do.
    #[error("{0}")]
    Conflict(&'static str),
    /// The reaction was changed too often.
    #[error("Too many requests; slow down.")]
    RateLimited(RateLimited),
    /// The command would exceed a limit. The text names the limit.
    #[error("{0}")]
    LimitExceeded(&'static str),
    /// The database refuses a value, such as a text with the character NUL.
    #[error("A value cannot be stored.")]
    InvalidValue,
    /// The code of an application failed. The log has the reason.
    #[error("Internal server error; it has been logged.")]
    Failed,
}

impl Rejection {
    /// Another row has a value that must be unique.
    pub const DUPLICATE_VALUE: Self =
        Self::Conflict("An object with this value already exists; send another value.");

    /// The row refers to a row that does not exist.
    pub const MISSING_REFERENCE: Self =
        Self::Conflict("The referenced object does not exist; refer to another object.");

    /// Returns a fixed identifier for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotMember => "not_member",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MessageNotFound { .. } | Self::InvalidValue => "invalid",
            Self::MessageDeleted | Self::GroupDeleted => "gone",
            Self::CidReused => "cid_reused",
            Self::Banned => "banned",
            Self::Conflict(_) => "conflict",
            Self::RateLimited(_) => "rate_limited",
            Self::LimitExceeded(_) => "limit_exceeded",
            Self::Failed => "internal",
        }
    }

    /// Returns the field of the request that caused the rejection, if it is a single field.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::MessageNotFound { field } => Some(*field),
            _ => None,
        }
    }
}

impl CommandError {
    /// Returns the class of the error, for metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Db(error) => classify(error).class(),
            Self::LogBehind(_) => "log_behind",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Aborted => "aborted",
        }
    }
}

/// The reason why a command on a group was not executed, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The database failed. Nothing was stored.
    #[error(transparent)]
    Db(#[from] DbErr),
    /// The database has lost acknowledged events. Nothing was stored.
    #[error(transparent)]
    LogBehind(#[from] LogBehind),
    /// The connection was lost during the commit, and the log does not answer in time.
    #[error("the outcome of the commit is unknown: {0}")]
    OutcomeUnknown(DbErr),
    /// The writer stopped, or writes are forbidden.
    #[error("the command was not completed")]
    Aborted,
}
