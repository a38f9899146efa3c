//! Members: roles, ownership, removal, bans and leaving.

use loco_rs::prelude::*;
use sea_orm::QuerySelect;

use super::Application;
use crate::models::{
    bans,
    event_data::{EventData, LeaveReason, MemberLeft, MemberRole},
    events::Event,
    group_commands::{
        AppliedCommand, CommandResult,
        validate::{check_leave, check_removal, check_role_change},
    },
    invites,
    memberships::{self, MemberRow, Role},
    rejections::{CommandError, Rejection},
    users,
};

impl Application<'_> {
    /// Gives a member a role. A new owner replaces the actor, who becomes an admin.
    pub(super) async fn set_role(
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
    pub(super) async fn transfer_ownership(
        &mut self,
        owner_id: i64,
    ) -> Result<AppliedCommand, CommandError> {
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
    pub(super) async fn remove_member(
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

    pub(super) async fn leave(&mut self, role: Role) -> Result<AppliedCommand, CommandError> {
        let actor = self.actor()?;
        check_leave(role)?;
        let username = actor.username.as_ref().to_owned();
        let events = self
            .end_membership(actor.id, username, LeaveReason::Left, true)
            .await?;
        self.applied(events, CommandResult::Empty)
    }

    /// Deletes a membership, if there is one, and the invites of the user.
    pub(super) async fn end_membership(
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

    pub(super) async fn unban(&mut self, username: &str) -> Result<AppliedCommand, CommandError> {
        let user = self.find_user(username).await?;
        if !bans::Model::lift(self.transaction, self.group_id(), user.id).await? {
            return Err(Rejection::NotFound.into());
        }
        self.applied(Vec::new(), CommandResult::Empty)
    }

    /// Stores a role and appends its event. The invites of a user who is no longer an admin end.
    pub(super) async fn change_role(
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
}
