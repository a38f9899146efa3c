//! Why something that somebody asked for is not done.

use std::time::Duration;

use sea_orm::DbErr;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("You are no member of this group.")]
    NotMember,
    #[error("You may not do this.")]
    Forbidden,
    #[error("Not found.")]
    NotFound,
    #[error("There is no such message.")]
    MessageNotFound { field: &'static str },
    #[error("This message was deleted.")]
    MessageDeleted,
    #[error("This group was deleted.")]
    GroupDeleted,
    #[error("This id was used for something else.")]
    CidReused,
    #[error("You are banned from this group.")]
    Banned,
    /// It does not fit to how things are; the text says what would.
    #[error("{0}")]
    Conflict(&'static str),
    /// This reaction was changed too often; one more change is allowed after this time.
    #[error("Too many requests; slow down.")]
    RateLimited(Duration),
    /// It would be more than there may be; the text says of what.
    #[error("{0}")]
    LimitExceeded(&'static str),
}

impl Rejection {
    /// For a program: a slug that does not change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotMember => "not_member",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MessageNotFound { .. } => "invalid",
            Self::MessageDeleted | Self::GroupDeleted => "gone",
            Self::CidReused => "cid_reused",
            Self::Banned => "banned",
            Self::Conflict(_) => "conflict",
            Self::RateLimited(_) => "rate_limited",
            Self::LimitExceeded(_) => "limit_exceeded",
        }
    }

    /// What of the request is at fault, where it is one thing.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::MessageNotFound { field } => Some(*field),
            _ => None,
        }
    }
}

/// A change of a group that was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Db(#[from] DbErr),
    /// The server stopped meanwhile, or gave up.
    #[error("it was not done to the end")]
    Aborted,
}
