//! A user in a group, as the channels know them.

use std::sync::Arc;

use crate::models::{
    chat_groups,
    events::Actor,
    group_commands::{CommandKind, GroupCommand},
    member_groups,
    membership_snapshots::MembershipSnapshot,
    memberships::{self, Role},
    users,
};

/// Who speaks or listens, in which group.
#[derive(Debug, Clone)]
pub struct Member {
    pub actor: Actor,
    /// The name that others see.
    pub display_name: String,
    pub group_id: i64,
    /// The group's name.
    pub group_name: Arc<str>,
    pub title: Option<String>,
    pub role: Role,
    /// Another one when somebody comes back.
    pub membership_id: i64,
    /// How far the group's log had gone when the member was let in.
    pub head: i64,
    /// The last event that the member has read, and how many messages came after it.
    pub read_seq: i64,
    pub unread: i64,
}

impl From<MembershipSnapshot> for Member {
    fn from(standing: MembershipSnapshot) -> Self {
        Self {
            actor: Actor {
                id: standing.user_id,
                username: standing.username.into(),
            },
            display_name: standing.display_name,
            group_id: standing.group_id,
            group_name: standing.group_name.into(),
            title: standing.title,
            role: Role::parse(&standing.role),
            membership_id: standing.membership_id,
            head: standing.head,
            read_seq: standing.read,
            unread: member_groups::unread_count(
                standing.messages,
                standing.read_messages,
                standing.deleted_unread,
            ),
        }
    }
}

impl Member {
    #[must_use]
    pub fn new(
        user: &users::Model,
        group: &chat_groups::Model,
        membership: &memberships::Model,
    ) -> Self {
        Self {
            actor: Actor::from_user(user),
            display_name: user.name.clone(),
            group_id: group.id,
            group_name: group.name.as_str().into(),
            title: group.title.clone(),
            role: membership.role(),
            membership_id: membership.id,
            head: group.head,
            read_seq: membership.read,
            unread: member_groups::unread_count(group.messages, membership.read_messages, 0),
        }
    }

    /// A change that this member asks for.
    #[must_use]
    pub fn command(&self, cid: Option<String>, what: CommandKind) -> GroupCommand {
        GroupCommand {
            group_id: self.group_id,
            actor: Some(self.actor.clone()),
            cid,
            kind: what,
        }
    }
}
