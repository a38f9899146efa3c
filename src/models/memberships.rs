//! Who belongs to which group, and as what.

use loco_rs::prelude::*;

pub use super::_entities::memberships::{ActiveModel, Column, Entity, Model};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever started the chat.
    Owner,
    Member,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Makes a user a member.
    ///
    /// # Errors
    /// When the database fails, or the user is a member already.
    pub async fn create(
        db: &impl ConnectionTrait,
        group_id: i64,
        user_id: i64,
        role: Role,
    ) -> Result<Self, DbErr> {
        ActiveModel {
            group_id: Set(group_id),
            user_id: Set(user_id),
            role: Set(role.as_str().to_owned()),
            ..Default::default()
        }
        .insert(db)
        .await
    }
}
