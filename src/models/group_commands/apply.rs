//! The application of one command inside the transaction of its batch.
//!
//! The groups are locked. The [`BatchState`] alone decides commands about messages. The other commands read and write
//! rows with statements of their own, and update the state for the next commands of the batch.

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, QuerySelect};

use super::{
    AppliedCommand, CommandKind, CommandOutcome, CommandResult, CreatedInvite, GroupCommand,
    JoinedGroup, RowJson, RowOutcome, RowScope, SharedRowChange, ToggleLimiter,
    authorize::authorize,
    batch_state::BatchState,
    reaction_state::RequestedReaction,
    validate::{
        check_invite, check_leave, check_message, check_removal, check_role_change, repeat_outcome,
    },
};
use crate::{
    database::clock,
    limits::{Quotas, RateLimited},
    models::{
        bans, chat_groups,
        event_data::{
            EventBody, EventData, GroupUpdated, LeaveReason, MemberJoined, MemberLeft, MemberRole,
        },
        events::{Actor, Event, NewEvent},
        invites::{self, InviteCode},
        log::LockedLogs,
        memberships::{self, MemberRow, Role},
        rejections::{CommandError, Rejection},
        users,
    },
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

/// Applies or rejects a command about messages.
fn apply_message_command(
    command: &GroupCommand,
    state: &mut BatchState,
    logs: &mut LockedLogs,
    toggles: &ToggleLimiter,
) -> CommandOutcome {
    // The group may have been deleted since the membership of the actor was checked.
    let (head, at) = logs.head(command.group_id).ok_or(Rejection::GroupDeleted)?;
    let role = authorize(command, state.role_of(command))?;
    if let CommandKind::Read { seq } = command.kind {
        return apply_read(command, seq, state, logs);
    }
    if let Some(key) = command.cid_key()
        && let Some(first) = state.previous_events.get(&key)
    {
        return repeat_outcome(first, &command.kind);
    }
    if let Some(seq) = command.kind.required_message() {
        let message = state.target_messages.get(&(command.group_id, seq));
        check_message(command, role, message)?;
    }
    let reaction = RequestedReaction::from_command(command);
    let is_unchanged = match &reaction {
        Some(reaction) => state.reactions.is_already_applied(reaction)?,
        None => state.has_text_already(command),
    };
    if is_unchanged {
        return Ok(AppliedCommand::unchanged(head, at));
    }
    if let Some(key) = ToggleLimiter::reaction_key(command) {
        let pending = state.pending_toggles.entry(key).or_default();
        if let Some(retry_after) = toggles.retry_after(&key, *pending) {
            return Err(Rejection::RateLimited(RateLimited { retry_after }));
        }
        *pending += 1;
    }
    let event = append_message_event(command, state, logs).ok_or(Rejection::NotFound)?;
    if let Some(reaction) = &reaction {
        state.reactions.apply(reaction, event.seq);
    }
    Ok(AppliedCommand::with_events(
        (event.seq, event.at),
        vec![event],
    ))
}

/// Appends the event of a command about messages.
fn append_message_event(
    command: &GroupCommand,
    state: &mut BatchState,
    logs: &mut LockedLogs,
) -> Option<Event> {
    let data = command.kind.event_data()?;
    if let Some(target) = data.revised_message()
        && let Some(message) = state.target_messages.get_mut(&(command.group_id, target))
    {
        message.revision = Some(data.kind().into());
    }
    let event = logs.append(NewEvent {
        group_id: command.group_id,
        actor: command.actor.clone(),
        cid: command.cid.clone(),
        body: EventBody::new(data),
    })?;
    if let CommandKind::Edit { seq, text } = &command.kind {
        let message = (command.group_id, *seq);
        state.message_texts.insert(message, text.clone());
    }
    state.note_event(command, &event, logs);
    Some(event)
}

/// Moves the read position of a member forward, at most to the end of the log.
fn apply_read(
    command: &GroupCommand,
    seq: i64,
    state: &mut BatchState,
    logs: &mut LockedLogs,
) -> CommandOutcome {
    let actor = command.actor.as_ref().ok_or(Rejection::NotMember)?;
    let member = state.members.get_mut(&(command.group_id, actor.id));
    let member = member.ok_or(Rejection::NotMember)?;
    let count = state.message_counts.get(&(command.group_id, seq)).copied();
    let (seq, at) = logs
        .mark_read(command.group_id, actor.id, seq, count)
        .ok_or(Rejection::NotFound)?;
    let dup = seq <= member.read;
    member.read = member.read.max(seq);
    Ok(AppliedCommand {
        dup,
        ..AppliedCommand::with_events((member.read, at), Vec::new())
    })
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
        if let Some(key) = self.command.cid_key()
            && let Some(first) = self.state.previous_events.get(&key)
        {
            // The events of the same kind have the rows as data. A row of a retry is not compared with them, because
            // the database gives the first row values of its own.
            if kind != Some(first.body.kind()) {
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
            let body = EventBody::for_application(kind, row.get())
                .ok_or_else(|| DbErr::Custom(format!("{kind} is a kind of Salam's own events")))?;
            events.push(self.append_body(body)?);
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

    /// Gives a member a role. A new owner replaces the actor, who becomes an admin.
    async fn set_role(
        &mut self,
        username: &str,
        role: Role,
    ) -> Result<AppliedCommand, CommandError> {
        let actor = self.actor()?;
        let user = self.find_user(username).await?;
        let membership =
            memberships::Model::find(self.transaction, self.group_id(), user.id).await?;
        let membership = membership.ok_or(Rejection::NotFound)?;
        check_role_change(actor.id, &user, membership.role(), role)?;
        let mut events = Vec::new();
        if membership.role() != role {
            events.push(self.change_role(user.id, &user.username, role).await?);
            if role == Role::Owner {
                let former = self.change_role(actor.id, &actor.username, Role::Admin);
                events.push(former.await?);
            }
        }
        let member = MemberRow {
            id: membership.id,
            username: user.username,
            name: user.name,
            role: role.as_str().to_owned(),
            is_active: user.is_active,
            created_at: membership.created_at,
        };
        self.applied_by_events(events, CommandResult::Member(Box::new(member)))
    }

    /// Passes the group on from a deactivated owner to the active admin who has been a member for the longest time,
    /// else to such a member.
    ///
    /// The former owner stays a member. A group without another active member keeps its owner.
    async fn transfer_ownership(&mut self, owner_id: i64) -> Result<AppliedCommand, CommandError> {
        let (transaction, group_id) = (self.transaction, self.group_id());
        // Both rows may have changed since an operator read them.
        let own = memberships::Model::find(transaction, group_id, owner_id).await?;
        let owner = users::Entity::find_by_id(owner_id).one(transaction).await?;
        let owner = owner.filter(|owner| !owner.is_active);
        let (Some(_), Some(owner)) = (own.filter(|own| own.role() == Role::Owner), owner) else {
            return self.applied_by_events(Vec::new(), CommandResult::Empty);
        };
        let longest_member = async |role: Role| {
            memberships::Entity::find()
                .filter(memberships::Column::GroupId.eq(group_id))
                .filter(memberships::Column::Role.eq(role.as_str()))
                .find_also_related(users::Entity)
                .filter(users::Column::IsActive.eq(true))
                .order_by_asc(memberships::Column::Id)
                .limit(1)
                .one(transaction)
                .await
        };
        let mut successor = longest_member(Role::Admin).await?;
        if successor.is_none() {
            successor = longest_member(Role::Member).await?;
        }
        let Some((_, Some(successor))) = successor else {
            return self.applied_by_events(Vec::new(), CommandResult::Empty);
        };
        let events = vec![
            self.change_role(successor.id, &successor.username, Role::Owner)
                .await?,
            self.change_role(owner.id, &owner.username, Role::Member)
                .await?,
        ];
        self.applied_by_events(events, CommandResult::Empty)
    }

    /// Removes a user with a role below the role of the actor. A banned user need not be a member.
    async fn remove_member(
        &mut self,
        role: Role,
        username: &str,
        is_ban: bool,
    ) -> Result<AppliedCommand, CommandError> {
        let actor = self.actor()?;
        let user = self.find_user(username).await?;
        let membership =
            memberships::Model::find(self.transaction, self.group_id(), user.id).await?;
        let current = membership.as_ref().map(memberships::Model::role);
        check_removal(role, current, is_ban)?;
        let reason = if is_ban {
            bans::Model::create(self.transaction, self.group_id(), user.id, actor.id).await?;
            LeaveReason::Banned
        } else {
            LeaveReason::Kicked
        };
        let events = self
            .end_membership(user.id, user.username, reason, membership.is_some())
            .await?;
        self.applied(events, CommandResult::Empty)
    }

    async fn leave(&mut self, role: Role) -> Result<AppliedCommand, CommandError> {
        let actor = self.actor()?;
        check_leave(role)?;
        let username = actor.username.as_ref().to_owned();
        let events = self
            .end_membership(actor.id, username, LeaveReason::Left, true)
            .await?;
        self.applied(events, CommandResult::Empty)
    }

    /// Deletes a membership, if there is one, and the invites of the user.
    async fn end_membership(
        &mut self,
        user_id: i64,
        user: String,
        reason: LeaveReason,
        is_member: bool,
    ) -> Result<Vec<Event>, CommandError> {
        // With an invite of their own, a removed user could return at once.
        invites::Model::revoke_all_by(self.transaction, user_id, Some(self.group_id())).await?;
        if !is_member {
            return Ok(Vec::new());
        }
        memberships::Model::remove(self.transaction, self.group_id(), user_id).await?;
        self.state.members.remove(&(self.group_id(), user_id));
        let left = self.append(EventData::MemberLeft(MemberLeft { reason, user }))?;
        Ok(vec![left])
    }

    async fn unban(&mut self, username: &str) -> Result<AppliedCommand, CommandError> {
        let user = self.find_user(username).await?;
        if !bans::Model::lift(self.transaction, self.group_id(), user.id).await? {
            return Err(Rejection::NotFound.into());
        }
        self.applied(Vec::new(), CommandResult::Empty)
    }

    async fn create_invite(
        &mut self,
        expires_in: chrono::Duration,
        max_uses: Option<i64>,
    ) -> Result<AppliedCommand, CommandError> {
        let (transaction, actor) = (self.transaction, self.actor()?);
        let now = clock::now(transaction).await?;
        let (invite, code) = invites::Model::create(
            transaction,
            (self.group_id(), actor.id),
            (now, now + expires_in),
            max_uses,
        )
        .await?;
        let created = CreatedInvite { invite, code };
        self.applied(Vec::new(), CommandResult::Invite(Box::new(created)))
    }

    async fn revoke_invite(&mut self, id: i64) -> Result<AppliedCommand, CommandError> {
        if !invites::Model::revoke(self.transaction, self.group_id(), id).await? {
            return Err(Rejection::NotFound.into());
        }
        self.applied(Vec::new(), CommandResult::Empty)
    }

    /// Makes the actor a member. A member keeps the membership, and does not count as a use of the invite.
    async fn accept_invite(
        &mut self,
        code: &InviteCode,
        display_name: &str,
        quotas: Quotas,
    ) -> Result<AppliedCommand, CommandError> {
        let (transaction, group_id, actor) = (self.transaction, self.group_id(), self.actor()?);
        // Other users of the invite, and changes of the group, wait for the lock.
        let row = invites::Model::find_with_group(transaction, group_id, code).await?;
        let (invite, mut group) = row.ok_or(Rejection::NotFound)?;
        self.logs.copy_position_to(&mut group);
        let membership = memberships::Model::find(transaction, group_id, actor.id).await?;
        if let Some(membership) = membership {
            let joined = JoinedGroup { group, membership };
            let applied = self.applied(Vec::new(), CommandResult::Joined(Box::new(joined)))?;
            return Ok(AppliedCommand {
                dup: true,
                ..applied
            });
        }
        let is_banned = bans::Model::exists(transaction, group_id, actor.id).await?;
        check_invite(&invite, clock::now(transaction).await?, is_banned)?;
        memberships::Model::check_quotas(transaction, actor.id, Some(group_id), quotas).await?;
        if !invite.count_use(transaction).await? {
            return Err(Rejection::NotFound.into());
        }
        let event = self.append(EventData::MemberJoined(MemberJoined {
            name: display_name.to_owned(),
            role: Role::Member,
            user: actor.username.as_ref().to_owned(),
        }))?;
        self.logs.copy_position_to(&mut group);
        let membership =
            memberships::Model::create(transaction, &group, actor.id, Role::Member).await?;
        self.state.add_member(&membership);
        let joined = JoinedGroup { group, membership };
        self.applied(vec![event], CommandResult::Joined(Box::new(joined)))
    }

    /// Closes the group for ever. [`chat_groups::Model::purge_deleted`] deletes the events later, because they may be
    /// many.
    async fn delete_group(&mut self) -> Result<AppliedCommand, CommandError> {
        let (transaction, group_id) = (self.transaction, self.group_id());
        memberships::Model::remove_all(transaction, group_id).await?;
        invites::Model::revoke_all_of_group(transaction, group_id).await?;
        chat_groups::Model::close(transaction, group_id).await?;
        let applied = self.applied(Vec::new(), CommandResult::Empty)?;
        self.state
            .members
            .retain(|(group, _), _| *group != group_id);
        self.logs.close(group_id);
        Ok(applied)
    }

    /// Stores a role and appends its event. The invites of a user who is no longer an admin end.
    async fn change_role(
        &mut self,
        user_id: i64,
        user: &str,
        role: Role,
    ) -> Result<Event, CommandError> {
        let group_id = self.group_id();
        memberships::Model::update_role(self.transaction, group_id, user_id, role).await?;
        if role < Role::Admin {
            invites::Model::revoke_all_by(self.transaction, user_id, Some(group_id)).await?;
        }
        if let Some(member) = self.state.members.get_mut(&(group_id, user_id)) {
            role.as_str().clone_into(&mut member.role);
        }
        self.append(EventData::MemberRole(MemberRole {
            role,
            user: user.to_owned(),
        }))
    }

    fn append(&mut self, data: EventData) -> Result<Event, CommandError> {
        self.append_body(EventBody::new(data))
    }

    fn append_body(&mut self, body: EventBody) -> Result<Event, CommandError> {
        let event = self.logs.append(NewEvent {
            group_id: self.group_id(),
            actor: self.command.actor.clone(),
            cid: self.command.cid.clone(),
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
