//! What members ask to change in the conversation, and when it is refused.

mod batch_state;
mod reaction_state;
mod toggle_limiter;

use std::time::{Duration, Instant};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend};
use tokio::time::sleep;

use self::batch_state::BatchState;
pub use self::toggle_limiter::ToggleLimiter;
use super::{
    event_data::{EventData, MessageCreated, MessageDeleted, MessageEdited, ReactionData},
    events::{Actor, Event},
    log::{AcknowledgedHeads, LockedLogs, LogBehind, begin_write, was_committed},
    reactions::Emoji,
    rejections::Rejection,
};
use crate::database::{DbErrorKind, classify};

/// How long another connection is taken when one is cut, for as long as PostgreSQL takes to come back,
/// and the pause before each but the first.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub struct GroupCommand {
    pub group_id: i64,
    /// `None`: the operator, who may everything.
    pub actor: Option<Actor>,
    /// The client's own id of the request: a retry with the same gets the first answer.
    pub cid: Option<String>,
    pub kind: CommandKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandKind {
    Send {
        text: String,
        reply_to: Option<i64>,
    },
    Edit {
        seq: i64,
        text: String,
    },
    Delete {
        seq: i64,
    },
    /// Reacts to a message, or takes that back. Once it is so, asking again changes nothing.
    React {
        seq: i64,
        emoji: Emoji,
        on: bool,
    },
    /// Has read all up to and with an event. No event tells it.
    Read {
        seq: i64,
    },
}

/// A change that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedCommand {
    /// The number of its event. Of a reading, of the last event that is read now; of a reaction
    /// that was as asked for already, of the last event that there was then: whoever has the log up
    /// to here sees it done.
    pub seq: i64,
    pub at: DateTimeWithTimeZone,
    /// Whether it was so before: this was a retry, or it changed nothing.
    pub dup: bool,
    /// What is to be told.
    pub event: Option<Event>,
}

/// What becomes of a change.
pub type CommandOutcome = Result<AppliedCommand, Rejection>;

/// Whether there may be retries among changes: what was stored under a `cid` before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateCheck {
    /// It is looked up at once.
    Upfront,
    /// It is looked up once something turns out to be there; all is done again then.
    #[default]
    OnConflict,
}

/// Why changes were not made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was stored.
    #[error(transparent)]
    NotApplied(#[from] DbErr),
    /// Nothing was stored: the database has lost what it had stored before.
    #[error(transparent)]
    LogBehind(#[from] LogBehind),
    /// The database broke off while it committed, and cannot say what became of it: nobody knows.
    #[error("it is not known whether it was stored: {0}")]
    OutcomeUnknown(DbErr),
}

/// Changes that are made once they are committed.
struct PreparedBatch {
    transaction: DatabaseTransaction,
    outcomes: Vec<CommandOutcome>,
}

impl PreparedBatch {
    /// Of these changes.
    async fn commit(
        self,
        db: &DatabaseConnection,
        changes: &[&GroupCommand],
    ) -> Result<Vec<CommandOutcome>, ApplyError> {
        let is_postgres = self.transaction.get_database_backend() == DbBackend::Postgres;
        let Err(error) = self.transaction.commit().await else {
            return Ok(self.outcomes);
        };
        let mut made = changes.iter().zip(&self.outcomes);
        let event = made.find_map(|(change, outcome)| {
            let event = outcome.as_ref().ok()?.event.as_ref()?;
            Some((change.group_id, event))
        });
        let is_committed = match event {
            _ if !is_postgres => None,
            Some((group, event)) => was_committed(db, group, event).await,
            // It can be made again if it was: nobody reads less than before.
            None => Some(false),
        };
        match is_committed {
            Some(true) => Ok(self.outcomes),
            Some(false) => Err(ApplyError::NotApplied(error)),
            None => Err(ApplyError::OutcomeUnknown(error)),
        }
    }
}

impl CommandKind {
    /// The messages that must be there for it.
    const fn required_message(&self) -> Option<i64> {
        match self {
            Self::Send { reply_to, .. } => *reply_to,
            Self::Edit { seq, .. } | Self::Delete { seq } | Self::React { seq, .. } => Some(*seq),
            Self::Read { .. } => None,
        }
    }

    /// The event up to which is read.
    const fn read_seq(&self) -> Option<i64> {
        match self {
            Self::Read { seq } => Some(*seq),
            _ => None,
        }
    }

    /// Returns the data of the event that the command appends. `None`: it appends no event.
    fn event_data(&self) -> Option<EventData> {
        Some(match self {
            Self::Send { text, reply_to } => EventData::MessageCreated(MessageCreated {
                text: Some(text.clone()),
                reply_to: *reply_to,
                ..MessageCreated::default()
            }),
            Self::Edit { seq, text } => {
                EventData::MessageEdited(MessageEdited::new(*seq, text.clone()))
            }
            Self::Delete { seq } => EventData::MessageDeleted(MessageDeleted { seq: *seq }),
            Self::React { seq, emoji, on } => {
                let reaction = ReactionData {
                    emoji: emoji.as_str().to_owned(),
                    seq: *seq,
                };
                if *on {
                    EventData::ReactionAdded(reaction)
                } else {
                    EventData::ReactionRemoved(reaction)
                }
            }
            Self::Read { .. } => return None,
        })
    }
}

impl GroupCommand {
    /// Makes all changes in one transaction, in the order in which they stand here, each in its
    /// group. Each is stored or refused on its own.
    ///
    /// Who is a member, what was stored under a `cid` and what became of a message are looked at
    /// while the groups are locked, so no answer is out of date when it is given.
    ///
    /// When the connection is cut, another one is taken, for 5 s: PostgreSQL may be starting again. Whether
    /// what was to be committed meanwhile was is seen in the log.
    ///
    /// # Errors
    /// [`ApplyError`] when the database fails.
    pub async fn apply_all(
        db: &DatabaseConnection,
        changes: Vec<Self>,
    ) -> Result<Vec<CommandOutcome>, ApplyError> {
        let changes: Vec<_> = changes.iter().collect();
        let (unknown, unlimited) = (AcknowledgedHeads::default(), ToggleLimiter::default());
        Self::apply_batch(db, &changes, DuplicateCheck::Upfront, &unknown, &unlimited).await
    }

    /// The same, faster where none of them is a retry, and slower where one is. A log that ends before what
    /// was `acknowledged` is not appended to; what is stored now is not noted there, nor in `toggles`.
    ///
    /// # Errors
    /// [`ApplyError`] when the database fails, or has lost events.
    pub async fn apply_batch(
        db: &DatabaseConnection,
        changes: &[&Self],
        retries: DuplicateCheck,
        acknowledged: &AcknowledgedHeads,
        toggles: &ToggleLimiter,
    ) -> Result<Vec<CommandOutcome>, ApplyError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut cut = None;
        loop {
            let made = match Self::prepare_batch(db, changes, retries, acknowledged, toggles).await
            {
                Ok(prepared) => prepared.commit(db, changes).await,
                Err(error) => Err(error),
            };
            let error = match made {
                Err(ApplyError::NotApplied(error))
                    if classify(&error) == DbErrorKind::ConnectionLost =>
                {
                    error
                }
                made => return made,
            };
            match cut {
                None => cut = Some(Instant::now()),
                Some(first) if first.elapsed() < RECONNECT_TIMEOUT => {
                    sleep(RECONNECT_INTERVAL).await;
                }
                Some(_) => return Err(ApplyError::NotApplied(error)),
            }
        }
    }

    async fn prepare_batch(
        db: &DatabaseConnection,
        changes: &[&Self],
        mut retries: DuplicateCheck,
        acknowledged: &AcknowledgedHeads,
        toggles: &ToggleLimiter,
    ) -> Result<PreparedBatch, ApplyError> {
        loop {
            let transaction = begin_write(db).await?;
            let groups = changes.iter().map(|change| change.group_id).collect();
            let mut logs = LockedLogs::lock(&transaction, groups).await?;
            if let Some(behind) = logs.find_log_behind(acknowledged) {
                return Err(behind.into());
            }
            let mut known = BatchState::load(&transaction, changes, retries).await?;
            let outcomes: Vec<_> = changes
                .iter()
                .map(|change| known.apply_command(change, &mut logs, toggles))
                .collect();
            known.write_reactions(&transaction).await?;
            // The last word: a deletion takes what the same batch has added to the message.
            let is_written = match retries {
                DuplicateCheck::Upfront => logs.flush(&transaction).await.map(|()| true)?,
                DuplicateCheck::OnConflict => {
                    let mut made = changes.iter().zip(&outcomes);
                    made.all(|(change, outcome)| change.cannot_be_duplicate(outcome))
                        && logs.flush_unless_duplicate(&transaction).await?
                }
            };
            if is_written {
                return Ok(PreparedBatch {
                    transaction,
                    outcomes,
                });
            }
            transaction.rollback().await?;
            retries = DuplicateCheck::Upfront;
        }
    }

    /// Whether what became of this would be the same if something was stored under its `cid`, or would
    /// not go into the log.
    fn cannot_be_duplicate(&self, outcome: &CommandOutcome) -> bool {
        match outcome {
            Ok(stored) => self.cid.is_none() || stored.event.is_some(),
            // That is looked at before.
            Err(refusal) => {
                let is_before = matches!(refusal, Rejection::NotMember | Rejection::GroupDeleted);
                self.cid.is_none() || is_before
            }
        }
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`ApplyError`] when the database fails.
    pub async fn apply_single(self, db: &DatabaseConnection) -> Result<CommandOutcome, ApplyError> {
        let mut outcomes = Self::apply_all(db, vec![self]).await?;
        Ok(outcomes.pop().unwrap_or(Err(Rejection::NotFound)))
    }

    /// Returns whether a text of a message is gone once the change is made.
    #[must_use]
    pub const fn removes_text(&self) -> bool {
        matches!(
            self.kind,
            CommandKind::Edit { .. } | CommandKind::Delete { .. }
        )
    }

    fn cid_key(&self) -> Option<(i64, i64, String)> {
        let author = self.actor.as_ref()?.id;
        Some((self.group_id, author, self.cid.clone()?))
    }
}
