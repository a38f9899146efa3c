//! Invites: create, revoke and accept.

use super::Application;
use crate::{
    database::clock,
    limits::Quotas,
    models::{
        bans,
        event_data::{EventData, MemberJoined},
        group_commands::{
            AppliedCommand, CommandResult, CreatedInvite, JoinedGroup, validate::check_invite,
        },
        invites::{self, InviteCode},
        memberships::{self, Role},
        rejections::{CommandError, Rejection},
    },
};

impl Application<'_> {
    pub(super) async fn create_invite(
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

    pub(super) async fn revoke_invite(&mut self, id: i64) -> Result<AppliedCommand, CommandError> {
        if !invites::Model::revoke(self.transaction, self.group_id(), id).await? {
            return Err(Rejection::NotFound.into());
        }
        self.applied(Vec::new(), CommandResult::Empty)
    }

    /// Makes the actor a member. A member keeps the membership, and does not count as a use of the invite.
    pub(super) async fn accept_invite(
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
}
