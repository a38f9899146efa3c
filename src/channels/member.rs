//! A user in a group, as the channels know them.

use std::sync::Arc;

use crate::models::{
    changes::{Change, What},
    chat_groups,
    events::Author,
    memberships::{self, Role},
    mine,
    standings::Standing,
    users,
};

/// Who speaks or listens, in which group.
#[derive(Debug, Clone)]
pub struct Member {
    pub author: Author,
    /// The name that others see.
    pub name: String,
    pub group_id: i64,
    /// The group's name.
    pub group: Arc<str>,
    pub title: Option<String>,
    pub role: Role,
    /// Another one when somebody comes back.
    pub membership_id: i64,
    /// How far the group's log had gone when the member was let in.
    pub head: i64,
    /// The last event that the member has read, and how many messages came after it.
    pub read: i64,
    pub unread: i64,
}

impl From<Standing> for Member {
    fn from(standing: Standing) -> Self {
        Self {
            author: Author {
                id: standing.user_id,
                username: standing.username.into(),
            },
            name: standing.display_name,
            group_id: standing.group_id,
            group: standing.group_name.into(),
            title: standing.title,
            role: Role::parse(&standing.role),
            membership_id: standing.membership_id,
            head: standing.head,
            read: standing.read,
            unread: mine::unread(
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
            author: Author::of(user),
            name: user.name.clone(),
            group_id: group.id,
            group: group.name.as_str().into(),
            title: group.title.clone(),
            role: membership.role(),
            membership_id: membership.id,
            head: group.head,
            read: membership.read,
            unread: mine::unread(group.messages, membership.read_messages, 0),
        }
    }

    /// A change that this member asks for.
    #[must_use]
    pub fn change(&self, cid: Option<String>, what: What) -> Change {
        Change {
            group_id: self.group_id,
            author: Some(self.author.clone()),
            cid,
            what,
        }
    }
}
