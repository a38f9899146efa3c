//! The groups of a user, with the facts that a list of groups shows.

use std::collections::HashMap;

use loco_rs::prelude::*;
use sea_orm::{DbBackend, FromQueryResult};
use serde::Deserialize;

use super::{
    bulk_query::{InputColumn::Int, bulk_select, bulk_select_many},
    chat_groups, memberships,
    messages::{self, StoredMessage},
    users,
};

/// A group as one of its members sees it.
pub struct MemberGroup {
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
    pub last_message: Option<StoredMessage>,
    pub summary: GroupSummary,
}

/// The facts that a list of groups shows in addition to the rows of group and membership.
#[derive(Debug, Clone, Default)]
pub struct GroupSummary {
    /// The number of deleted messages that the member has not read.
    deleted_unread: i64,
    /// The number of members, at most [`MAX_COUNTED_MEMBERS`].
    pub member_count: i64,
    /// The first other members, as pairs of username and name.
    pub other_members: Vec<(String, String)>,
}

/// The largest member count. A group with more members has this count too.
pub const MAX_COUNTED_MEMBERS: i64 = 1000;

/// The largest number of other members in a summary.
pub const MAX_OTHER_MEMBERS: usize = 4;

impl MemberGroup {
    /// Returns the groups of a user, the last joined first.
    ///
    /// The list starts before the membership with the id `before`. A page has at most `limit` groups, with at most about
    /// 256 KiB of last messages, and at least one group.
    ///
    /// The result has one group more than the page, if there are more. Its second part is the number of groups on the
    /// page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        user: &users::Model,
        before: i64,
        limit: usize,
    ) -> Result<(Vec<Self>, usize), DbErr> {
        let rows = memberships::Entity::find()
            .filter(memberships::Column::UserId.eq(user.id))
            .filter(memberships::Column::Id.lt(before))
            .order_by_desc(memberships::Column::Id)
            .limit(limit as u64 + 1)
            .find_also_related(chat_groups::Entity)
            .all(db)
            .await?;
        let rows: Vec<_> = rows
            .into_iter()
            .filter_map(|(membership, group)| Some((group?, membership)))
            .collect();
        let ids: Vec<_> = rows.iter().take(limit).map(|(group, _)| group.id).collect();
        let sizes = last_message_sizes(db, &ids).await?;
        let mut bytes = 0;
        let on_page: Vec<_> = ids
            .into_iter()
            .take_while(|id| {
                let fits = bytes < GROUP_LIST_PAGE_BYTES;
                bytes += sizes.get(id).copied().unwrap_or(0);
                fits
            })
            .collect();
        let mut last_messages = load_last_messages(db, user.id, &on_page).await?;
        let memberships = rows.iter().take(on_page.len()).map(|(_, own)| own.id);
        let mut summaries = load_summaries(db, memberships).await?;
        let groups = rows
            .into_iter()
            .take(on_page.len() + 1)
            .map(|(group, membership)| Self {
                last_message: last_messages.remove(&group.id),
                summary: summaries.remove(&membership.id).unwrap_or_default(),
                group,
                membership,
            });
        Ok((groups.collect(), on_page.len()))
    }

    /// Loads the facts about one group, as this member sees it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        db: &DatabaseConnection,
        group: chat_groups::Model,
        membership: memberships::Model,
    ) -> Result<Self, DbErr> {
        let mut last_messages = load_last_messages(db, membership.user_id, &[group.id]).await?;
        let mut summaries = load_summaries(db, std::iter::once(membership.id)).await?;
        Ok(Self {
            last_message: last_messages.remove(&group.id),
            summary: summaries.remove(&membership.id).unwrap_or_default(),
            group,
            membership,
        })
    }

    /// Returns the number of messages of the group that the member has not read.
    #[must_use]
    pub fn unread_count(&self) -> i64 {
        unread_count(
            self.group.messages,
            self.membership.read_messages,
            self.summary.deleted_unread,
        )
    }
}

/// Returns the number of unread messages.
///
/// `messages` is the number of sent messages. The member has read `read` of them. `deleted` of the rest were deleted.
#[must_use]
pub fn unread_count(messages: i64, read: i64, deleted: i64) -> i64 {
    (messages - read - deleted).max(0)
}

/// The SQL of the number of deleted messages that a member of `memberships` has not read.
///
/// The count stops at 1,000, so a member who never reads does not make a list slow.
pub const DELETED_UNREAD_SQL: &str = "(SELECT COUNT(*) FROM (SELECT 1 FROM events deletion \
    WHERE deletion.group_id = memberships.group_id AND deletion.kind = 'message.deleted' \
    AND deletion.target > memberships.read LIMIT 1000) AS deletions)";

/// A row of [`load_summaries`].
#[derive(FromQueryResult, Deserialize)]
struct GroupSummaryRow {
    id: i64,
    deleted: i64,
    members: i64,
    others: Option<String>,
}

/// Returns the summaries of these memberships, by membership id.
async fn load_summaries(
    db: &DatabaseConnection,
    memberships: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, GroupSummary>, DbErr> {
    let (array, pair) = match db.get_database_backend() {
        DbBackend::Sqlite => ("json_group_array", "json_array"),
        _ => ("json_agg", "json_build_array"),
    };
    let query = format!(
        "SELECT memberships.id AS id, {DELETED_UNREAD_SQL} AS deleted, \
         (SELECT COUNT(*) FROM (SELECT 1 FROM memberships other \
         WHERE other.group_id = memberships.group_id LIMIT {MAX_COUNTED_MEMBERS}) AS counted) AS members, \
         (SELECT CAST({array}({pair}(username, name)) AS TEXT) FROM \
         (SELECT username, users.name FROM memberships other JOIN users ON users.id = other.user_id \
         WHERE other.group_id = memberships.group_id AND other.user_id <> memberships.user_id \
         ORDER BY other.id LIMIT {MAX_OTHER_MEMBERS}) AS first) AS others \
         FROM input JOIN memberships ON memberships.id = input.id"
    );
    let ids = memberships.map(|id| [id]);
    let rows: Vec<GroupSummaryRow> = bulk_select_many(db, &[Int("id")], ids, &query).await?;
    let summaries = rows.into_iter().map(|row| {
        let others = row.others.as_deref();
        let summary = GroupSummary {
            deleted_unread: row.deleted,
            member_count: row.members,
            other_members: others
                .and_then(|others| serde_json::from_str(others).ok())
                .unwrap_or_default(),
        };
        (row.id, summary)
    });
    Ok(summaries.collect())
}

/// The bytes of the last messages on one page, not counting the first one.
const GROUP_LIST_PAGE_BYTES: i64 = 256 * 1024;

/// The size of a group's last message.
#[derive(FromQueryResult)]
struct MessageSizeRow {
    group_id: i64,
    bytes: i64,
}

/// Returns the size of each group's last message in bytes. Groups without messages are left out.
async fn last_message_sizes(
    db: &DatabaseConnection,
    ids: &[i64],
) -> Result<HashMap<i64, i64>, DbErr> {
    let sizes: Vec<MessageSizeRow> = bulk_select(
        db,
        &[Int("group_id")],
        ids.iter().map(|id| [*id]),
        "SELECT input.group_id, CAST(octet_length(message.data) + \
         COALESCE(octet_length(edit.data), 0) AS bigint) AS bytes FROM input \
         JOIN chat_groups ON chat_groups.id = input.group_id \
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

async fn load_last_messages(
    db: &DatabaseConnection,
    viewer: i64,
    ids: &[i64],
) -> Result<HashMap<i64, StoredMessage>, DbErr> {
    let rows = messages::MessageRow::find_last(db, viewer, ids).await?;
    let last = rows.into_iter().map(|row| (row.group_id, row.into()));
    Ok(last.collect())
}
