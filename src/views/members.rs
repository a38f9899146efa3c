//! Answers about members and bans.

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

/// A member.
#[derive(Serialize, ToSchema)]
pub struct Member {
    #[schema(example = "bob")]
    pub username: String,
    #[schema(example = "Bob Ray")]
    pub name: String,
    #[schema(value_type = Role, example = "member")]
    pub role: String,
    /// True while the account is active. A deactivated member cannot log in, nor be given a role.
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

/// Somebody who may not come back.
#[derive(Serialize, ToSchema)]
pub struct Ban {
    #[schema(example = "bob")]
    pub username: String,
    #[schema(example = "Bob Ray")]
    pub name: String,
    /// Null where that account is gone.
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
