//! The groups of a user, as they see them.

use std::collections::HashMap;

use loco_rs::prelude::*;
use sea_orm::FromQueryResult;

use super::{
    asked::rows_of,
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
    /// Lists the groups of a user, the last joined first: those before the membership with the id `before`,
    /// at most `limit` groups, and at most some 256 KiB of their last messages, but one group at least.
    ///
    /// Returns one group more than the page has, if there is one, and the number of groups on the page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        user: &users::Model,
        before: i64,
        limit: usize,
    ) -> Result<(Vec<Self>, usize), DbErr> {
        let found = memberships::Entity::find()
            .filter(memberships::Column::UserId.eq(user.id))
            .filter(memberships::Column::Id.lt(before))
            .order_by_desc(memberships::Column::Id)
            .limit(limit as u64 + 1)
            .find_also_related(chat_groups::Entity)
            .all(db)
            .await?;
        let found: Vec<_> = found
            .into_iter()
            .filter_map(|(membership, group)| Some((group?, membership)))
            .collect();
        let ids: Vec<_> = found
            .iter()
            .take(limit)
            .map(|(group, _)| group.id)
            .collect();
        let sizes = sizes_of_last_messages(db, &ids).await?;
        let mut bytes = 0;
        let on_page: Vec<_> = ids
            .into_iter()
            .take_while(|id| {
                let fits = bytes < PAGE_BYTES;
                bytes += sizes.get(id).copied().unwrap_or(0);
                fits
            })
            .collect();
        let mut last = last_messages(db, user.id, on_page.iter().copied()).await?;
        let listed = found
            .into_iter()
            .take(on_page.len() + 1)
            .map(|(group, membership)| Self {
                last_message: last.remove(&group.id),
                group,
                membership,
            });
        Ok((listed.collect(), on_page.len()))
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

/// Bytes of the last messages on one page, beyond the first one.
const PAGE_BYTES: i64 = 256 * 1024;

/// The size of a group's last message.
#[derive(FromQueryResult)]
struct Size {
    group_id: i64,
    bytes: i64,
}

/// Returns the bytes that the last message of each group takes, of those that have one.
async fn sizes_of_last_messages(
    db: &DatabaseConnection,
    ids: &[i64],
) -> Result<HashMap<i64, i64>, DbErr> {
    let sizes: Vec<Size> = rows_of(
        db,
        "group_id",
        ids.iter().map(|id| [(*id).into()]),
        "SELECT asked.group_id, CAST(octet_length(message.data) + \
         COALESCE(octet_length(edit.data), 0) AS bigint) AS bytes FROM asked \
         JOIN chat_groups ON chat_groups.id = asked.group_id \
         JOIN events message ON message.group_id = chat_groups.id \
         AND message.seq = chat_groups.last_message \
         LEFT JOIN events edit ON edit.group_id = message.group_id AND edit.seq = message.revised",
    )
    .await?;
    Ok(sizes
        .into_iter()
        .map(|size| (size.group_id, size.bytes))
        .collect())
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
