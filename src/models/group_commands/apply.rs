//! The application of one command inside the transaction of its batch.
//!
//! The groups are locked. The [`BatchState`] alone decides commands about messages. The other commands read and write
//! rows with statements of their own, and update the state for the next commands of the batch.

mod invites;
mod members;
mod messages;

use loco_rs::prelude::*;
use sea_orm::DatabaseTransaction;

use self::messages::apply_message_command;
use super::{
    AppliedCommand, CommandKind, CommandOutcome, CommandResult, GroupCommand, RowJson, RowOutcome,
    RowScope, SharedRowChange, ToggleLimiter, authorize::authorize, batch_state::BatchState,
};
use crate::models::{
    chat_groups,
    event_data::{EventBody, EventData, GroupUpdated},
    events::{Actor, Event, NewEvent},
    invites::Model as Invite,
    log::LockedLogs,
    memberships::{self, Role},
    rejections::{CommandError, Rejection},
    users,
};

/// One command, with the state, the logs and the transaction that it changes.
struct Application<'a> {
    command: &'a GroupCommand,
    state: &'a mut BatchState,
    logs: &'a mut LockedLogs,
    transaction: &'a DatabaseTransaction,
}

/// Applies or rejects a command. The next commands of the batch see its effects.
///
/// # Errors
/// When the database fails.
pub(super) async fn apply_command(
    command: &GroupCommand,
    state: &mut BatchState,
    logs: &mut LockedLogs,
    toggles: &ToggleLimiter,
    transaction: &DatabaseTransaction,
) -> Result<CommandOutcome, DbErr> {
    if command.kind.is_about_messages() {
        return Ok(apply_message_command(command, state, logs, toggles));
    }
    let mut application = Application {
        command,
        state,
        logs,
        transaction,
    };
    // Boxed, so that the future of the frequent message commands stays small.
    match Box::pin(application.apply()).await {
        Ok(applied) => Ok(Ok(applied)),
        Err(CommandError::Rejected(rejection)) => Ok(Err(rejection)),
        Err(CommandError::Db(error)) => Err(error),
        Err(error) => Err(DbErr::Custom(error.to_string())),
    }
}

impl Application<'_> {
    /// Applies a command that is not about messages.
    async fn apply(&mut self) -> Result<AppliedCommand, CommandError> {
        if self.logs.head(self.group_id()).is_none() {
            // A deleted group has neither members nor invites.
            return Err(match self.command.kind {
                CommandKind::AcceptInvite { .. } => Rejection::NotFound.into(),
                _ => Rejection::NotMember.into(),
            });
        }
        let role = authorize(self.command, self.state.role_of(self.command))?;
        match &self.command.kind {
            CommandKind::SetTitle { title } => self.set_title(title.as_ref()).await,
            CommandKind::SetRole {
                username,
                role: new_role,
            } => self.set_role(username, *new_role).await,
            CommandKind::Kick { username } => self.remove_member(role, username, false).await,
            CommandKind::Ban { username } => self.remove_member(role, username, true).await,
            CommandKind::Unban { username } => self.unban(username).await,
            CommandKind::Leave => self.leave(role).await,
            CommandKind::CreateInvite {
                expires_in,
                max_uses,
            } => self.create_invite(*expires_in, *max_uses).await,
            CommandKind::RevokeInvite { id } => self.revoke_invite(*id).await,
            CommandKind::AcceptInvite {
                code,
                display_name,
                quotas,
            } => self.accept_invite(code, display_name, *quotas).await,
            CommandKind::DeleteGroup => self.delete_group().await,
            CommandKind::TransferOwnership { owner_id } => self.transfer_ownership(*owner_id).await,
            CommandKind::ChangeRow(change) => self.change_row(role, change).await,
            CommandKind::Send { .. }
            | CommandKind::Edit { .. }
            | CommandKind::Delete { .. }
            | CommandKind::React { .. }
            | CommandKind::Read { .. } => Err(CommandError::Aborted),
        }
    }

    /// Changes rows of an application, and appends the event of the change.
    async fn change_row(
        &mut self,
        role: Role,
        change: &SharedRowChange,
    ) -> Result<AppliedCommand, CommandError> {
        let kind = change.event_kind();
        if let Some(kind) = kind.filter(|kind| EventData::is_reserved_kind(kind)) {
            tracing::error!(kind, "an application's event has a kind of Salam");
            return Err(Rejection::Failed.into());
        }
        if let Some(key) = self.command.cid_key()
            && let Some(first) = self.state.previous_events.get(&key)
        {
            if kind != Some(first.body.kind()) || !change.is_retry_of(first.body.json()) {
                return Err(Rejection::CidReused.into());
            }
            let row = RowJson::from_log(first.body.json());
            return Ok(AppliedCommand {
                result: CommandResult::Row(row),
                ..AppliedCommand::unchanged(first.seq, first.at)
            });
        }
        let scope = RowScope {
            transaction: self.transaction,
            group_id: self.group_id(),
            actor: self.command.actor.as_ref(),
            role,
        };
        let row = match change.apply(scope).await? {
            RowOutcome::Changed(row) => row,
            RowOutcome::Unchanged(row) => {
                return self.applied_by_events(Vec::new(), CommandResult::Row(row));
            }
        };
        let mut events = Vec::new();
        if let Some(kind) = kind {
            let body = EventBody::for_application(kind, row.get());
            events.push(self.append_body(body, self.command.cid.clone())?);
        }
        self.applied(events, CommandResult::Row(row))
    }

    async fn set_title(&mut self, title: Option<&String>) -> Result<AppliedCommand, CommandError> {
        let group = chat_groups::Entity::find_by_id(self.group_id());
        let group = group.one(self.transaction).await?;
        let mut group = group.ok_or(Rejection::NotFound)?;
        let mut events = Vec::new();
        if group.title.as_ref() != title {
            let title = title.cloned();
            events.push(self.append(EventData::GroupUpdated(GroupUpdated {
                title: title.clone(),
            }))?);
            let mut row = group.into_active_model();
            row.title = Set(title);
            group = row.update(self.transaction).await?;
        }
        // The batch writes the end of the log later.
        self.logs.copy_position_to(&mut group);
        self.applied_by_events(events, CommandResult::Group(Box::new(group)))
    }

    /// Closes the group permanently. [`chat_groups::Model::purge_deleted`] deletes the events later, because they may
    /// be many.
    async fn delete_group(&mut self) -> Result<AppliedCommand, CommandError> {
        let (transaction, group_id) = (self.transaction, self.group_id());
        memberships::Model::remove_all(transaction, group_id).await?;
        Invite::revoke_all_of_group(transaction, group_id).await?;
        chat_groups::Model::close(transaction, group_id).await?;
        let applied = self.applied(Vec::new(), CommandResult::Empty)?;
        self.state
            .members
            .retain(|(group, _), _| *group != group_id);
        self.logs.close(group_id);
        Ok(applied)
    }

    fn append(&mut self, data: EventData) -> Result<Event, CommandError> {
        self.append_body(EventBody::new(data), None)
    }

    /// Appends an event. A later command with the same `cid` gets the first outcome again.
    fn append_body(&mut self, body: EventBody, cid: Option<String>) -> Result<Event, CommandError> {
        let event = self.logs.append(NewEvent {
            group_id: self.group_id(),
            actor: self.command.actor.clone(),
            cid,
            body,
        });
        let event = event.ok_or(Rejection::NotFound)?;
        self.state.note_event(self.command, &event, self.logs);
        Ok(event)
    }

    /// Returns the outcome, with the seq of the last of these events, else of the last event of the group.
    fn applied(
        &self,
        events: Vec<Event>,
        result: CommandResult,
    ) -> Result<AppliedCommand, CommandError> {
        let head = self.logs.head(self.group_id());
        Ok(AppliedCommand {
            result,
            ..AppliedCommand::with_events(head.ok_or(Rejection::NotFound)?, events)
        })
    }

    /// Returns the outcome of a command that changed nothing if it has no event.
    fn applied_by_events(
        &self,
        events: Vec<Event>,
        result: CommandResult,
    ) -> Result<AppliedCommand, CommandError> {
        let dup = events.is_empty();
        let applied = self.applied(events, result)?;
        Ok(AppliedCommand { dup, ..applied })
    }

    async fn find_user(&self, username: &str) -> Result<users::Model, CommandError> {
        let user = users::Model::find_by_username(self.transaction, username).await?;
        Ok(user.ok_or(Rejection::NotFound)?)
    }

    fn actor(&self) -> Result<Actor, Rejection> {
        self.command.actor.clone().ok_or(Rejection::Forbidden)
    }

    const fn group_id(&self) -> i64 {
        self.command.group_id
    }
}
