//! A member of a group, as sockets and commands need it.

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

/// A user as a member of a group, as it was read from the database.
#[derive(Debug, Clone)]
pub struct Member {
    pub actor: Actor,
    /// The display name of the user.
    pub display_name: String,
    pub group_id: i64,
    /// The group's name.
    pub group_name: Arc<str>,
    pub title: Option<String>,
    pub role: Role,
    /// The id of the membership. A user who joins again gets another id.
    pub membership_id: i64,
    /// The head of the group's log when the member was read.
    pub head: i64,
    /// The read position.
    pub read_seq: i64,
    /// The number of messages after the read position.
    pub unread: i64,
}

impl From<MembershipSnapshot> for Member {
    fn from(snapshot: MembershipSnapshot) -> Self {
        Self {
            actor: Actor {
                id: snapshot.user_id,
                username: snapshot.username.into(),
            },
            display_name: snapshot.display_name,
            group_id: snapshot.group_id,
            group_name: snapshot.group_name.into(),
            title: snapshot.title,
            role: Role::parse(&snapshot.role),
            membership_id: snapshot.membership_id,
            head: snapshot.head,
            read_seq: snapshot.read,
            unread: member_groups::unread_count(
                snapshot.messages,
                snapshot.read_messages,
                snapshot.deleted_unread,
            ),
        }
    }
}

impl Member {
    /// Returns the member with this membership.
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

    /// Returns a command of this member.
    #[must_use]
    pub fn command(&self, cid: Option<String>, kind: CommandKind) -> GroupCommand {
        GroupCommand {
            group_id: self.group_id,
            actor: Some(self.actor.clone()),
            cid,
            kind,
        }
    }
}
