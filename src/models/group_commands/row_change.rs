//! Changes of an application's own rows, such as the surveys of a group.
//!
//! A [`RowChange`] is a command of a group like any other: the writer checks the membership of the actor, changes the
//! rows in the transaction that has locked the group, and appends an event that all members receive.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, TransactionTrait};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::timeout;

use crate::{
    database::{DbErrorKind, classify},
    models::{
        events::Actor,
        memberships::Role,
        rejections::{CommandError, Rejection},
    },
};

/// The largest data of an event, in bytes. The frame with the event has at most 64 KiB.
const MAX_EVENT_BYTES: usize = 63 * 1024;

/// The longest time of one change. The other commands of the node wait for the change.
const MAX_APPLY_TIME: Duration = Duration::from_secs(2);

/// A change of an application's own rows that belong to a group.
#[async_trait]
pub trait RowChange: fmt::Debug + Send + Sync + 'static {
    /// The kind of the event that the members receive, such as `survey.created`. The data of the event is the JSON that
    /// [`RowChange::apply`] returns. `None`: the change has no event.
    ///
    /// A kind that begins with `group.`, `member.`, `message.` or `reaction.` is refused: these are kinds of Salam.
    fn event_kind(&self) -> Option<&'static str>;

    /// The lowest role that may make the change.
    fn lowest_role(&self) -> Role {
        Role::Member
    }

    /// Returns `true` if an operator may make the change, in a task.
    fn is_for_operators(&self) -> bool {
        false
    }

    /// Returns `true` if an earlier request with the same `cid` was the same request as this one. `first` is the JSON of
    /// the earlier request. An update or a deletion compares the id of the row.
    fn is_retry_of(&self, first: &RawValue) -> bool {
        let _ = first;
        true
    }

    /// Changes the rows by `scope.transaction`, and returns the JSON of the row.
    ///
    /// The actor has at least the lowest role, and keeps the role until the transaction ends. The method may run again
    /// in another transaction, after a lost connection. After an error, the changes of this method are rolled back, and
    /// those of the other commands are not. The writer of the node waits for this method, so it must be short.
    ///
    /// # Errors
    /// [`CommandError::Rejected`] for the client, and [`CommandError::Db`].
    async fn apply(&self, scope: &RowScope<'_>) -> Result<RowOutcome, CommandError>;
}

/// The transaction, the group and the actor of a [`RowChange`].
pub struct RowScope<'a> {
    pub transaction: &'a DatabaseTransaction,
    pub group_id: i64,
    /// `None`: an operator.
    pub actor: Option<&'a Actor>,
    /// The role of the actor. An operator has the role of the owner.
    pub role: Role,
}

/// A [`RowChange`] as a part of a command.
#[derive(Clone)]
pub struct SharedRowChange(Arc<dyn RowChange>);

/// The result of a [`RowChange`].
#[derive(Debug, Clone)]
pub enum RowOutcome {
    /// The rows have changed: the members receive the event.
    Changed(RowJson),
    /// The rows were as requested already: there is no event.
    Unchanged(RowJson),
}

/// The JSON of a changed row: the response to the client, and the data of the event.
#[derive(Debug, Clone)]
pub struct RowJson(Box<RawValue>);

impl SharedRowChange {
    /// Makes a change part of a command.
    pub fn new(change: impl RowChange) -> Self {
        Self(Arc::new(change))
    }

    /// Applies the change under a savepoint. A change that fails has no effect on the other commands of the batch.
    ///
    /// # Errors
    /// [`CommandError::Rejected`] for this command alone: the errors of [`RowChange::apply`], values that the database
    /// refuses, a panic, and a change that takes longer than 2 s. [`CommandError::Db`] when the database is unavailable.
    pub(super) async fn apply(&self, scope: RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let is_postgres = scope.transaction.get_database_backend() == DbBackend::Postgres;
        let savepoint = scope.transaction.begin().await?;
        let nested = RowScope {
            transaction: &savepoint,
            ..scope
        };
        // A panic would end the writer, and the process with it.
        let applying = AssertUnwindSafe(self.0.apply(&nested)).catch_unwind();
        let applied = match timeout(MAX_APPLY_TIME, applying).await {
            Ok(Ok(applied)) => applied.and_then(|outcome| self.check_size(outcome)),
            Ok(Err(_)) => Err(self.failed("a change of rows panicked")),
            Err(_) => Err(self.failed("a change of rows took too long")),
        };
        let error = match applied {
            Ok(outcome) => match savepoint.commit().await {
                Ok(()) => return Ok(outcome),
                // The change has hidden the error of a statement, and the dropped savepoint rolls back.
                Err(error) if is_postgres && classify(&error) == DbErrorKind::Other => error.into(),
                // SQLite has ended the whole transaction.
                Err(error) => return Err(error.into()),
            },
            Err(error) => match (savepoint.rollback().await, error) {
                (Ok(()), error) => error,
                // The transaction has ended with the savepoint. The first error has the reason.
                (Err(_), CommandError::Db(first)) => return Err(first.into()),
                (Err(lost), _) => return Err(lost.into()),
            },
        };
        Err(self.reject_error(error))
    }

    fn check_size(&self, outcome: RowOutcome) -> Result<RowOutcome, CommandError> {
        match &outcome {
            RowOutcome::Changed(json)
                if self.0.event_kind().is_some() && json.0.get().len() > MAX_EVENT_BYTES =>
            {
                Err(Rejection::LimitExceeded("The row is larger than 63 KiB.").into())
            }
            _ => Ok(outcome),
        }
    }

    /// Makes a rejection of an error that this change alone has caused.
    fn reject_error(&self, error: CommandError) -> CommandError {
        let CommandError::Db(error) = error else {
            return match error {
                CommandError::Rejected(rejection) => rejection.into(),
                _ => self.failed("a change of rows failed"),
            };
        };
        let kind = classify(&error);
        match kind {
            // Another command deleted the row after the request had read it.
            DbErrorKind::RowMissing => Rejection::NotFound.into(),
            DbErrorKind::UniqueViolation => Rejection::DUPLICATE_VALUE.into(),
            DbErrorKind::ForeignKeyViolation => Rejection::MISSING_REFERENCE.into(),
            DbErrorKind::InvalidValue | DbErrorKind::ConstraintViolation => {
                Rejection::InvalidValue.into()
            }
            DbErrorKind::ConnectionLost | DbErrorKind::LockConflict => CommandError::Db(error),
            _ if kind.outage().is_some() => CommandError::Db(error),
            _ => {
                // Without the values of the row, which the log must not have.
                tracing::error!(%error, kind = self.0.event_kind(), "a change of rows failed");
                Rejection::Failed.into()
            }
        }
    }

    fn failed(&self, phrase: &'static str) -> CommandError {
        tracing::error!(
            reason = phrase,
            kind = self.0.event_kind(),
            "a change of rows was rolled back"
        );
        Rejection::Failed.into()
    }
}

impl std::ops::Deref for SharedRowChange {
    type Target = dyn RowChange;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedRowChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl PartialEq for SharedRowChange {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedRowChange {}

impl RowJson {
    /// Serializes a row.
    ///
    /// # Errors
    /// When the row has a map whose keys are not strings.
    pub fn new(row: &impl Serialize) -> Result<Self, CommandError> {
        let json = to_raw_value(row).map_err(|error| DbErr::Json(error.to_string()))?;
        Ok(Self(json))
    }

    /// Returns the JSON that the log has of an event.
    pub(super) fn from_log(json: &RawValue) -> Self {
        Self(json.to_owned())
    }

    /// Returns the JSON.
    #[must_use]
    pub fn get(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for RowJson {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for RowJson {}
