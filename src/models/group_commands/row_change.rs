//! Changes of an application's own rows, such as the surveys of a group.
//!
//! A [`RowChange`] is a command of a group like any other: the writer checks the membership of the actor, changes the
//! rows in the transaction that has locked the group, and appends an event that all members receive.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    database::{DbErrorKind, classify},
    models::{
        events::Actor,
        memberships::Role,
        rejections::{CommandError, Rejection},
    },
};

/// The largest JSON of an event, in bytes. A socket receives an event in one frame.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// A change of an application's own rows that belong to a group.
#[async_trait]
pub trait RowChange: fmt::Debug + Send + Sync + 'static {
    /// The kind of the event that the members receive, such as `survey.created`. The data of the event is the JSON that
    /// [`RowChange::apply`] returns. `None`: the change has no event.
    ///
    /// A kind of Salam's own events, such as `message.created`, is refused.
    fn event_kind(&self) -> Option<&'static str>;

    /// The lowest role that may make the change.
    fn lowest_role(&self) -> Role {
        Role::Member
    }

    /// Returns `true` if an operator may make the change, in a task.
    fn is_for_operators(&self) -> bool {
        false
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

    /// Applies the change under a savepoint.
    ///
    /// # Errors
    /// The errors of [`RowChange::apply`]. Violations of a unique index and of a reference are rejections.
    pub(super) async fn apply(&self, scope: RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let savepoint = scope.transaction.begin().await?;
        let nested = RowScope {
            transaction: &savepoint,
            ..scope
        };
        let applied = self.0.apply(&nested).await;
        let applied = applied.and_then(|outcome| match &outcome {
            RowOutcome::Changed(json)
                if self.0.event_kind().is_some() && json.0.get().len() > MAX_EVENT_BYTES =>
            {
                Err(Rejection::LimitExceeded("The row is larger than 64 KiB.").into())
            }
            _ => Ok(outcome),
        });
        match applied {
            Ok(outcome) => {
                savepoint.commit().await?;
                Ok(outcome)
            }
            Err(error) => {
                savepoint.rollback().await?;
                Err(reject_row_error(error))
            }
        }
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

/// Makes a rejection of an error that a row of the client caused.
fn reject_row_error(error: CommandError) -> CommandError {
    let CommandError::Db(error) = error else {
        return error;
    };
    match classify(&error) {
        // Another command deleted the row after the request had read it.
        DbErrorKind::RowMissing => Rejection::NotFound.into(),
        DbErrorKind::UniqueViolation => Rejection::DUPLICATE_VALUE.into(),
        DbErrorKind::ForeignKeyViolation => Rejection::MISSING_REFERENCE.into(),
        _ => CommandError::Db(error),
    }
}
