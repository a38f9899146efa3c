//! Events: what happened in a group, in the one order in which it happened.

use loco_rs::prelude::*;
use serde_json::json;

pub use super::_entities::events::{ActiveModel, Column, Entity, Model};

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

impl ActiveModelBehavior for ActiveModel {}
