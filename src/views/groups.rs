//! Responses about users and their groups.

use serde::Serialize;
use utoipa::ToSchema;

use super::{format_time, members::Role, messages::Message};
use crate::models::{member_groups::MemberGroup, users};

/// The authenticated user.
#[derive(Serialize, ToSchema)]
pub struct Me {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "ann")]
    pub username: String,
    #[schema(example = "Ann Lee")]
    pub name: String,
}

impl From<users::Model> for Me {
    fn from(user: users::Model) -> Self {
        Self {
            id: user.id,
            username: user.username,
            name: user.name,
        }
    }
}

/// The names of a member.
#[derive(Serialize, ToSchema)]
pub struct Person {
    #[schema(example = "bob")]
    pub username: String,
    #[schema(example = "Bob Ray")]
    pub name: String,
}

/// A group as one of its members sees it.
#[derive(Serialize, ToSchema)]
pub struct Group {
    #[schema(example = "chat_a1b2c3d4", pattern = "^chat_[0-9a-f]{8}$")]
    pub group: String,
    #[schema(example = "Lunch")]
    pub title: Option<String>,
    /// Your role.
    #[schema(value_type = Role, example = "member")]
    pub role: &'static str,
    /// The `seq` of the last event in the group's log.
    #[schema(example = 58)]
    pub head: i64,
    /// The `seq` of the last event that you have read.
    #[schema(example = 57)]
    pub read: i64,
    /// The number of messages after `read` that were not deleted.
    #[schema(example = 1)]
    pub unread: i64,
    pub last_message: Option<Message>,
    /// The number of members. 1000 means 1000 or more.
    #[schema(example = 3)]
    pub member_count: i64,
    /// The first members other than you, at most 4. Clients show them as the name of a group without a title.
    pub others: Vec<Person>,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub created_at: String,
    /// The time at which you became a member.
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub joined_at: String,
}

impl From<MemberGroup> for Group {
    fn from(member_group: MemberGroup) -> Self {
        Self {
            role: member_group.membership.role().as_str(),
            head: member_group.group.head,
            read: member_group.membership.read,
            unread: member_group.unread_count(),
            last_message: member_group.last_message.map(Into::into),
            member_count: member_group.summary.member_count,
            others: member_group
                .summary
                .other_members
                .into_iter()
                .map(|(username, name)| Person { username, name })
                .collect(),
            created_at: format_time(&member_group.group.created_at),
            joined_at: format_time(&member_group.membership.created_at),
            group: member_group.group.name,
            title: member_group.group.title,
        }
    }
}
