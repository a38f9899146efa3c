//! Events: what happened in a group, in the one order in which it happened.

use loco_rs::prelude::*;
use sea_orm::{FromQueryResult, JoinType};
use serde_json::json;

pub use super::_entities::events::{ActiveModel, Column, Entity, Model};
use super::users;

/// Kinds of events, as they are stored.
pub const MESSAGE_CREATED: &str = "message.created";

/// An event that has no place in its group's log yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub group_id: i64,
    pub kind: &'static str,
    /// `None`: no user did it.
    pub user_id: Option<i64>,
    /// A JSON object; what is in it depends on the kind.
    pub data: String,
}

impl NewEvent {
    /// Somebody, or nobody in particular, says something.
    #[must_use]
    pub fn message(group_id: i64, user_id: Option<i64>, text: &str) -> Self {
        let data = json!({ "text": text }).to_string();
        Self {
            group_id,
            kind: MESSAGE_CREATED,
            user_id,
            data,
        }
    }

    /// The row of this event at its place in the log.
    #[must_use]
    pub fn at(self, seq: i64, now: DateTimeWithTimeZone) -> ActiveModel {
        ActiveModel {
            group_id: Set(self.group_id),
            seq: Set(seq),
            kind: Set(self.kind.to_owned()),
            user_id: Set(self.user_id),
            cid: Set(None),
            data: Set(self.data),
            created_at: Set(now),
        }
    }
}

/// An event of the log, with the name of whoever did it.
#[derive(Debug, FromQueryResult)]
pub struct Logged {
    pub seq: i64,
    pub kind: String,
    pub username: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What comes after an event in a group's log, in order, at most `limit` of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn after(
        db: &DatabaseConnection,
        group_id: i64,
        seq: i64,
        limit: u64,
    ) -> Result<Vec<Logged>, DbErr> {
        Entity::find()
            .select_only()
            .columns([Column::Seq, Column::Kind])
            .column(users::Column::Username)
            // No reference leads from events to users, see the migration.
            .join(
                JoinType::LeftJoin,
                Entity::belongs_to(users::Entity)
                    .from(Column::UserId)
                    .to(users::Column::Id)
                    .into(),
            )
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::Seq.gt(seq))
            .order_by_asc(Column::Seq)
            .limit(limit)
            .into_model()
            .all(db)
            .await
    }
}
