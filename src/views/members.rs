//! Responses about members and bans.

use serde::Serialize;
use utoipa::ToSchema;

use super::format_time;
use crate::models::{bans, memberships};

/// The role of a member in a group.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "admin")]
#[allow(dead_code, reason = "read by the document")]
pub enum Role {
    Owner,
    Admin,
    Member,
}

/// A member of a group.
#[derive(Serialize, ToSchema)]
pub struct Member {
    #[schema(example = "bob")]
    pub username: String,
    #[schema(example = "Bob Ray")]
    pub name: String,
    #[schema(value_type = Role, example = "member")]
    pub role: String,
    /// True while the account is active. A deactivated member cannot log in and cannot be given a role.
    #[schema(example = true)]
    pub active: bool,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub joined_at: String,
}

impl From<memberships::MemberRow> for Member {
    fn from(member: memberships::MemberRow) -> Self {
        Self {
            username: member.username,
            name: member.name,
            role: member.role,
            active: member.is_active,
            joined_at: format_time(&member.created_at),
        }
    }
}

/// A banned user, who cannot join the group by an invite.
#[derive(Serialize, ToSchema)]
pub struct Ban {
    #[schema(example = "bob")]
    pub username: String,
    #[schema(example = "Bob Ray")]
    pub name: String,
    /// The user who banned; null if that account no longer exists.
    #[schema(example = "ann")]
    pub banned_by: Option<String>,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub banned_at: String,
}

impl From<bans::BanRow> for Ban {
    fn from(ban: bans::BanRow) -> Self {
        Self {
            username: ban.username,
            name: ban.name,
            banned_by: ban.banned_by,
            banned_at: format_time(&ban.created_at),
        }
    }
}
