//! The groups of a user, as they see them.

use std::collections::HashMap;

use loco_rs::prelude::*;

use super::{
    chat_groups, memberships,
    messages::{self, Message},
    users,
};

/// A group as one of its members sees it.
pub struct Mine {
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
    pub last_message: Option<Message>,
}

impl Mine {
    /// The groups of a user, the one joined last first, at most `limit` of those before the
    /// membership with the id `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        user: &users::Model,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Self>, DbErr> {
        let found = memberships::Entity::find()
            .filter(memberships::Column::UserId.eq(user.id))
            .filter(memberships::Column::Id.lt(before))
            .order_by_desc(memberships::Column::Id)
            .limit(limit)
            .find_also_related(chat_groups::Entity)
            .all(db)
            .await?;
        let found: Vec<_> = found
            .into_iter()
            .filter_map(|(membership, group)| Some((group?, membership)))
            .collect();
        let mut last = last_messages(db, user.id, found.iter().map(|(group, _)| group.id)).await?;
        Ok(found
            .into_iter()
            .map(|(group, membership)| Self {
                last_message: last.remove(&group.id),
                group,
                membership,
            })
            .collect())
    }

    /// The group as this member sees it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(
        db: &DatabaseConnection,
        group: chat_groups::Model,
        membership: memberships::Model,
    ) -> Result<Self, DbErr> {
        let mut last = last_messages(db, membership.user_id, std::iter::once(group.id)).await?;
        Ok(Self {
            last_message: last.remove(&group.id),
            group,
            membership,
        })
    }

    /// How many messages of the group the member has not read.
    #[must_use]
    pub fn unread(&self) -> i64 {
        unread(self.group.messages, self.membership.read_messages)
    }
}

/// How many messages of a group a member has not read, of those that there are, after reading so many.
#[must_use]
pub fn unread(messages: i64, read: i64) -> i64 {
    (messages - read).max(0)
}

async fn last_messages(
    db: &DatabaseConnection,
    viewer: i64,
    ids: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, Message>, DbErr> {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // Numbers of our own and nothing else, so they need no parameters.
    let condition = format!(
        "chat_groups.id IN ({}) AND message.seq = chat_groups.last_message",
        ids.join(",")
    );
    let rows = messages::Row::find(db, viewer, &condition, []).await?;
    let last = rows.into_iter().map(|row| (row.group_id, row.into()));
    Ok(last.collect())
}
