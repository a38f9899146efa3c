//! The commands that change a group: one enum, one table of permissions, one transaction for a batch.
//!
//! [`GroupCommand::apply_batch`] locks the groups, loads the state that decides, and applies the commands in their
//! order. `authorize.rs` has the table of roles and commands, `validate.rs` the rules about the targets, `apply.rs`
//! the effects. Membership, `cid` and messages are read while the groups are locked, so no outcome is outdated.

mod apply;
mod authorize;
mod batch_state;
mod reaction_state;
mod row_change;
mod toggle_limiter;
mod validate;

use std::time::Instant;

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend};
use tokio::time::{Duration, sleep};

use self::{apply::apply_command, batch_state::BatchState};
pub use self::{
    row_change::{RowChange, RowJson, RowOutcome, RowScope, SharedRowChange},
    toggle_limiter::ToggleLimiter,
};
use super::{
    chat_groups,
    event_data::{EventData, MessageCreated, MessageDeleted, MessageEdited, ReactionData},
    events::{Actor, Event},
    invites::{self, InviteCode},
    log::{AcknowledgedHeads, LockedLogs, begin_write, was_committed},
    memberships::{self, MemberRow, Role},
    reactions::Emoji,
    rejections::{CommandError, Rejection},
};
use crate::{
    database::{DbErrorKind, classify},
    limits::Quotas,
};

/// The time for which a batch retries after its connection was lost. PostgreSQL restarts in this time.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before each further retry, except the first.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// A command to change a group.
#[derive(Debug, Clone)]
pub struct GroupCommand {
    pub group_id: i64,
    /// `None`: an operator gives the command.
    pub actor: Option<Actor>,
    /// The client's own id of a command about messages or rows: a retry with the same id gets the first outcome.
    pub cid: Option<String>,
    pub kind: CommandKind,
}

/// The kinds of commands. `authorize.rs` has the table of the actors who may give a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandKind {
    /// Sends a message.
    Send { text: String, reply_to: Option<i64> },
    /// Replaces the text of a message. The same text changes nothing.
    Edit { seq: i64, text: String },
    /// Deletes a message.
    Delete { seq: i64 },
    /// Adds or removes a reaction to a message. The same state changes nothing.
    React { seq: i64, emoji: Emoji, on: bool },
    /// Marks all events up to `seq` as read, without an event.
    Read { seq: i64 },
    /// Gives the group another title, or none.
    SetTitle { title: Option<String> },
    /// Gives a member a role. A new owner replaces the actor, who becomes an admin.
    SetRole { username: String, role: Role },
    /// Removes a member, who may return by an invite.
    Kick { username: String },
    /// Removes a user, who may not return. The user need not be a member.
    Ban { username: String },
    /// Ends a ban.
    Unban { username: String },
    /// Ends the membership of the actor.
    Leave,
    /// Creates an invite for `max_uses` users, or for any number of users.
    CreateInvite {
        expires_in: chrono::Duration,
        max_uses: Option<i64>,
    },
    /// Ends an invite.
    RevokeInvite { id: i64 },
    /// Makes the actor a member. [`invites::Model::find_group_for_code`] finds the group.
    AcceptInvite {
        code: InviteCode,
        /// The name of the actor that others see.
        display_name: String,
        quotas: Quotas,
    },
    /// Deletes the group permanently.
    DeleteGroup,
    /// Passes the group on from an owner whose account is deactivated.
    TransferOwnership { owner_id: i64 },
    /// Changes rows of an application that belong to the group.
    ChangeRow(SharedRowChange),
}

/// A command that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedCommand {
    /// The seq of the command's last event. Without an event: the last event that a [`CommandKind::Read`] marks, or
    /// else the last event of the group, so that a client with the log up to here sees the command applied.
    pub seq: i64,
    pub at: DateTimeWithTimeZone,
    /// `true` if the command was a retry or changed nothing.
    pub dup: bool,
    /// The events to broadcast. The writer broadcasts and removes them.
    pub events: Vec<Event>,
    pub result: CommandResult,
}

/// The rows that a command gives its caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommandResult {
    #[default]
    Empty,
    /// The group with its new title.
    Group(Box<chat_groups::Model>),
    /// The member with the new role.
    Member(Box<MemberRow>),
    Invite(Box<CreatedInvite>),
    Joined(Box<JoinedGroup>),
    /// The changed row of a [`CommandKind::ChangeRow`].
    Row(RowJson),
}

/// A new invite with its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedInvite {
    pub invite: invites::Model,
    pub code: InviteCode,
}

/// A group with the membership of the user who accepted an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedGroup {
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
}

/// The outcome of one command of a batch.
pub type CommandOutcome = Result<AppliedCommand, Rejection>;

/// The time at which a batch looks for earlier events with the same `cid`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateCheck {
    /// The batch looks for them before it applies the commands.
    Upfront,
    /// The batch looks for them after the unique index has refused an event. It then begins again, with the check
    /// upfront.
    #[default]
    OnConflict,
}

/// Applied commands whose transaction is not committed yet.
struct PreparedBatch {
    transaction: DatabaseTransaction,
    outcomes: Vec<CommandOutcome>,
}

impl PreparedBatch {
    /// Commits the transaction of these commands.
    async fn commit(
        self,
        db: &DatabaseConnection,
        commands: &[&GroupCommand],
    ) -> Result<Vec<CommandOutcome>, CommandError> {
        let is_postgres = self.transaction.get_database_backend() == DbBackend::Postgres;
        let Err(error) = self.transaction.commit().await else {
            return Ok(self.outcomes);
        };
        let mut applied = commands.iter().zip(&self.outcomes);
        let event = applied.find_map(|(command, outcome)| {
            let event = outcome.as_ref().ok()?.events.first()?;
            Some((command.group_id, event))
        });
        let is_committed = match event {
            _ if !is_postgres => None,
            Some((group, event)) => was_committed(db, group, event).await,
            // Without an event, there is no proof. Commands about messages may be applied twice: they changed at
            // most read positions, which never move back. Rejected commands changed nothing.
            None if commands
                .iter()
                .zip(&self.outcomes)
                .all(|(command, outcome)| outcome.is_err() || command.kind.is_about_messages()) =>
            {
                Some(false)
            }
            None => None,
        };
        match is_committed {
            Some(true) => Ok(self.outcomes),
            Some(false) => Err(CommandError::Db(error)),
            None => Err(CommandError::OutcomeUnknown(error)),
        }
    }
}

impl AppliedCommand {
    fn with_events((head, at): (i64, DateTimeWithTimeZone), events: Vec<Event>) -> Self {
        Self {
            seq: events.last().map_or(head, |event| event.seq),
            at,
            dup: false,
            events,
            result: CommandResult::Empty,
        }
    }

    /// Returns the outcome of a command that changed nothing.
    fn unchanged(seq: i64, at: DateTimeWithTimeZone) -> Self {
        Self {
            dup: true,
            ..Self::with_events((seq, at), Vec::new())
        }
    }

    /// Returns the group of a [`CommandKind::SetTitle`].
    #[must_use]
    pub fn into_group(self) -> Option<chat_groups::Model> {
        match self.result {
            CommandResult::Group(group) => Some(*group),
            _ => None,
        }
    }

    /// Returns the member of a [`CommandKind::SetRole`].
    #[must_use]
    pub fn into_member(self) -> Option<MemberRow> {
        match self.result {
            CommandResult::Member(member) => Some(*member),
            _ => None,
        }
    }

    /// Returns the invite of a [`CommandKind::CreateInvite`].
    #[must_use]
    pub fn into_invite(self) -> Option<CreatedInvite> {
        match self.result {
            CommandResult::Invite(created) => Some(*created),
            _ => None,
        }
    }

    /// Returns the changed row of a [`CommandKind::ChangeRow`]. A retry gets the row as the first request left it.
    #[must_use]
    pub fn into_row(self) -> Option<RowJson> {
        match self.result {
            CommandResult::Row(json) => Some(json),
            _ => None,
        }
    }

    /// Returns the group and the membership of a [`CommandKind::AcceptInvite`].
    #[must_use]
    pub fn into_joined(self) -> Option<JoinedGroup> {
        match self.result {
            CommandResult::Joined(joined) => Some(*joined),
            _ => None,
        }
    }
}

impl CommandKind {
    /// Returns the name of the kind, for metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Read { .. } => "read",
            Self::SetTitle { .. } => "set_title",
            Self::SetRole { .. } => "set_role",
            Self::Kick { .. } => "kick",
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Leave => "leave",
            Self::CreateInvite { .. } => "create_invite",
            Self::RevokeInvite { .. } => "revoke_invite",
            Self::AcceptInvite { .. } => "accept_invite",
            Self::DeleteGroup => "delete_group",
            Self::TransferOwnership { .. } => "transfer_ownership",
            Self::ChangeRow(_) => "change_row",
        }
    }

    /// Returns whether the command is about messages: it may have a `cid`, and the state of its batch decides it.
    #[must_use]
    pub const fn is_about_messages(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::Edit { .. }
                | Self::Delete { .. }
                | Self::React { .. }
                | Self::Read { .. }
        )
    }

    /// Returns the seq of the message that must exist.
    const fn required_message(&self) -> Option<i64> {
        match self {
            Self::Send { reply_to, .. } => *reply_to,
            Self::Edit { seq, .. } | Self::Delete { seq } | Self::React { seq, .. } => Some(*seq),
            _ => None,
        }
    }

    /// Returns the seq of the event that a read position moves to.
    const fn read_seq(&self) -> Option<i64> {
        match self {
            Self::Read { seq } => Some(*seq),
            _ => None,
        }
    }

    /// Returns the data of the event of a command about messages. `None`: the command appends no such event.
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
            _ => return None,
        })
    }
}

impl GroupCommand {
    /// Applies commands in one transaction, in this order. Each command is applied or rejected on its own.
    ///
    /// If the connection is lost, other connections are tried for 5 s, because PostgreSQL may restart. The log shows
    /// whether a commit that lost its connection was successful.
    ///
    /// # Errors
    /// [`CommandError`] when the database fails.
    pub async fn apply_all(
        db: &DatabaseConnection,
        commands: Vec<Self>,
    ) -> Result<Vec<CommandOutcome>, CommandError> {
        let commands: Vec<_> = commands.iter().collect();
        let (acknowledged, toggles) = (AcknowledgedHeads::default(), ToggleLimiter::default());
        let check = DuplicateCheck::Upfront;
        Self::apply_batch(db, &commands, check, &acknowledged, &toggles).await
    }

    /// Applies one command, for programs without a writer: tasks, seeds and tests. The caller broadcasts the events.
    ///
    /// # Errors
    /// [`CommandError`] when the command is rejected, and when the database fails.
    pub async fn apply_single(
        self,
        db: &DatabaseConnection,
    ) -> Result<AppliedCommand, CommandError> {
        let mut outcomes = Self::apply_all(db, vec![self]).await?;
        Ok(outcomes.pop().ok_or(CommandError::Aborted)??)
    }

    /// Applies commands as [`GroupCommand::apply_all`] does, with the state of a writer.
    ///
    /// A log that ends before an `acknowledged` head gets no events. The caller notes the new heads in
    /// `acknowledged` and the changed reactions in `toggles`.
    ///
    /// # Errors
    /// [`CommandError`] when the database fails or has lost events.
    pub async fn apply_batch(
        db: &DatabaseConnection,
        commands: &[&Self],
        duplicate_check: DuplicateCheck,
        acknowledged: &AcknowledgedHeads,
        toggles: &ToggleLimiter,
    ) -> Result<Vec<CommandOutcome>, CommandError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut lost_at = None;
        loop {
            let prepared =
                Self::prepare_batch(db, commands, duplicate_check, acknowledged, toggles).await;
            let applied = match prepared {
                Ok(prepared) => prepared.commit(db, commands).await,
                Err(error) => Err(error),
            };
            let error = match applied {
                Err(CommandError::Db(error)) if classify(&error) == DbErrorKind::ConnectionLost => {
                    error
                }
                applied => return applied,
            };
            match lost_at {
                None => lost_at = Some(Instant::now()),
                Some(first) if first.elapsed() < RECONNECT_TIMEOUT => {
                    sleep(RECONNECT_INTERVAL).await;
                }
                Some(_) => return Err(CommandError::Db(error)),
            }
        }
    }

    async fn prepare_batch(
        db: &DatabaseConnection,
        commands: &[&Self],
        mut duplicate_check: DuplicateCheck,
        acknowledged: &AcknowledgedHeads,
        toggles: &ToggleLimiter,
    ) -> Result<PreparedBatch, CommandError> {
        // Commands that are not about messages have statements of their own, which must not run twice.
        if !commands
            .iter()
            .all(|command| command.kind.is_about_messages())
        {
            duplicate_check = DuplicateCheck::Upfront;
        }
        loop {
            let transaction = begin_write(db).await?;
            let groups = commands.iter().map(|command| command.group_id).collect();
            let mut logs = LockedLogs::lock(&transaction, groups).await?;
            if let Some(behind) = logs.find_log_behind(acknowledged) {
                return Err(behind.into());
            }
            let mut state = BatchState::load(&transaction, commands, duplicate_check).await?;
            let mut outcomes = Vec::with_capacity(commands.len());
            for command in commands {
                let applying = apply_command(command, &mut state, &mut logs, toggles, &transaction);
                outcomes.push(applying.await?);
            }
            state.write_reactions(&transaction).await?;
            // The logs are written after the reactions: a deletion removes the reactions that the same batch added to
            // the message.
            let is_written = match duplicate_check {
                DuplicateCheck::Upfront => logs.flush(&transaction).await.map(|()| true)?,
                DuplicateCheck::OnConflict => {
                    let mut applied = commands.iter().zip(&outcomes);
                    applied.all(|(command, outcome)| command.cannot_be_duplicate(outcome))
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
            duplicate_check = DuplicateCheck::Upfront;
        }
    }

    /// Returns whether the outcome would be the same if an event was stored under the `cid` before, or whether the
    /// unique index would refuse the event.
    fn cannot_be_duplicate(&self, outcome: &CommandOutcome) -> bool {
        match outcome {
            Ok(applied) => self.cid.is_none() || !applied.events.is_empty(),
            // These rules precede the check of the `cid`.
            Err(rejection) => {
                let is_earlier =
                    matches!(rejection, Rejection::NotMember | Rejection::GroupDeleted);
                self.cid.is_none() || is_earlier
            }
        }
    }

    /// Returns whether the command removes a text of a message from the log.
    #[must_use]
    pub const fn removes_text(&self) -> bool {
        matches!(
            self.kind,
            CommandKind::Edit { .. } | CommandKind::Delete { .. }
        )
    }

    fn cid_key(&self) -> Option<(i64, i64, String)> {
        let actor = self.actor.as_ref()?.id;
        Some((self.group_id, actor, self.cid.clone()?))
    }
}
