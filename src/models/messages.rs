//! Messages, each composed from the events of its group's log.

use std::cmp::Reverse;

use loco_rs::prelude::*;
use sea_orm::{DbBackend, FromQueryResult, QuerySelect, Statement, sea_query::Expr};
use serde::Deserialize;

use super::{
    bulk_query::{InputColumn::Int, bulk_select_many, fetch_many},
    chat_groups,
    event_data::{EventBody, EventKind, MessageCreated, MessageEdited, kind},
    events::{self, Event},
    log::begin_snapshot,
    reactions::ReactionSummary,
    usernames::is_visible,
};

/// The largest number of characters in a message.
pub const MAX_TEXT_CHARS: usize = 8000;

/// The largest number of characters in a client's own id of a request.
pub const MAX_CID_CHARS: usize = 128;

/// The reasons why a text cannot be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("This field needs at least one visible character.")]
    Blank,
    #[error("A message may have at most {MAX_TEXT_CHARS} characters.")]
    TooLong,
}

impl TextError {
    /// Returns a fixed identifier for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Blank => "invalid",
            Self::TooLong => "too_large",
        }
    }
}

/// Checks that a text can be a message.
///
/// # Errors
/// [`TextError`] for a text without a visible character, and for more than [`MAX_TEXT_CHARS`] characters.
pub fn check_text(text: &str) -> Result<(), TextError> {
    if !text.chars().any(is_visible) {
        return Err(TextError::Blank);
    }
    // A character has at most four bytes. The length in bytes avoids a count for short texts.
    if text.len() > MAX_TEXT_CHARS && text.chars().count() > MAX_TEXT_CHARS {
        return Err(TextError::TooLong);
    }
    Ok(())
}

/// Returns whether a text can be a client's own id of a request.
///
/// Such an id has 1 to [`MAX_CID_CHARS`] visible ASCII characters, for example a ULID or a UUID.
#[must_use]
pub fn is_valid_cid(text: &str) -> bool {
    (1..=MAX_CID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The current state of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    pub seq: i64,
    pub at: DateTimeWithTimeZone,
    pub by: Option<String>,
    /// `true` while the account of the author is active; `None` where the author was not a user.
    pub is_author_active: Option<bool>,
    pub cid: Option<String>,
    /// `None` for a deleted message.
    pub text: Option<String>,
    pub reply_to: Option<i64>,
    pub edited_at: Option<DateTimeWithTimeZone>,
    pub deleted: bool,
    /// The reactions as the viewer sees them, in the order of each emoji's first use.
    pub reactions: Vec<ReactionSummary>,
}

/// A part of a group's history, and the seq of the last event at the same moment.
///
/// Without the same moment, a client could not combine counts with later events.
pub struct HistoryPage {
    /// The messages, the newest first.
    pub messages: Vec<StoredMessage>,
    /// The notes in the same range, the newest first; empty unless they were requested.
    pub notes: Vec<Event>,
    /// The seq of the first event that the page covers.
    pub first_seq: i64,
    pub head: i64,
    /// `true` when the history continues beyond the page, in the direction of its window.
    pub has_more: bool,
}

/// The bytes of stored messages on one page, not counting the first message.
const HISTORY_PAGE_BYTES: i64 = 256 * 1024;

/// The largest size of a stored message in bytes: JSON writes a control character as six bytes.
const MAX_STORED_MESSAGE_BYTES: usize = 6 * MAX_TEXT_CHARS + 1024;

/// The content of a page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryContent {
    Messages,
    /// Messages, the other events that stand on their own, such as a new member, and the events of these kinds of an
    /// application. Events of its other kinds are left out, because a member can cause any number of them.
    MessagesAndNotes(Vec<EventKind>),
}

/// The kinds of Salam that stand on their own between the messages.
const NOTE_KINDS: [&str; 4] = [
    kind::MEMBER_JOINED,
    kind::MEMBER_LEFT,
    kind::MEMBER_ROLE,
    kind::GROUP_UPDATED,
];

/// The position of a page of messages in the history.
#[derive(Debug, Clone, Copy)]
pub enum HistoryWindow {
    Newest,
    /// The messages just before this seq.
    Before(i64),
    /// The messages just after this seq.
    After(i64),
}

/// A message's event, together with the last event that changed it.
#[derive(FromQueryResult, Deserialize)]
pub(super) struct MessageRow {
    pub group_id: i64,
    /// The seq of the last event of the group.
    position: i64,
    seq: i64,
    kind: String,
    created_at: DateTimeWithTimeZone,
    username: Option<String>,
    is_active: Option<i64>,
    cid: Option<String>,
    data: String,
    revision: Option<String>,
    revised_at: Option<DateTimeWithTimeZone>,
    revised_data: Option<String>,
    reactions: Option<String>,
}

/// The columns of a [`MessageRow`] except the reactions: of a group and one of its messages, with its author and
/// its last change.
const MESSAGE_COLUMNS: &str = "chat_groups.id AS group_id, chat_groups.head AS position, \
    message.seq AS seq, message.kind AS kind, message.created_at AS created_at, \
    author.username AS username, CAST(CASE WHEN author.is_active THEN 1 ELSE author.id * 0 END AS bigint) AS is_active, message.cid AS cid, message.data AS data, \
    revision.kind AS revision, revision.created_at AS revised_at, revision.data AS revised_data";

/// The joins from `events message` and `chat_groups` to the tables of [`MESSAGE_COLUMNS`].
const MESSAGE_JOINS: &str = "LEFT JOIN users author ON author.id = message.user_id \
    LEFT JOIN events revision ON revision.group_id = message.group_id \
    AND revision.seq = message.revised";

impl MessageRow {
    /// Returns the number of stored bytes of the message.
    fn stored_bytes(&self) -> usize {
        self.data.len() + self.revised_data.as_ref().map_or(0, String::len)
    }

    /// Returns the messages that meet a condition, as a user sees them, all at one moment and in any order.
    ///
    /// In the query, the user's id is the parameter after `values`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find<const N: usize>(
        db: &impl ConnectionTrait,
        viewer: i64,
        condition: &str,
        values: [sea_orm::Value; N],
    ) -> Result<Vec<Self>, DbErr> {
        let backend = db.get_database_backend();
        let sql = format!(
            "SELECT {MESSAGE_COLUMNS}, {} AS reactions FROM events message \
             JOIN chat_groups ON chat_groups.id = message.group_id {MESSAGE_JOINS} WHERE {condition}",
            ReactionSummary::sql_column(backend, &format!("${}", N + 1))
        );
        let values = values.into_iter().chain([viewer.into()]);
        fetch_many(db, Statement::from_sql_and_values(backend, sql, values)).await
    }
}

impl MessageRow {
    /// Returns the last message of each of these groups, as a user sees it. Groups without messages are left out.
    ///
    /// The text of the statement does not depend on the groups, so it is prepared once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_last(
        db: &DatabaseConnection,
        viewer: i64,
        groups: &[i64],
    ) -> Result<Vec<Self>, DbErr> {
        let reactions = ReactionSummary::sql_column(db.get_database_backend(), "input.viewer");
        let query = format!(
            "SELECT {MESSAGE_COLUMNS}, {reactions} AS reactions FROM input \
             JOIN chat_groups ON chat_groups.id = input.id \
             JOIN events message ON message.group_id = chat_groups.id \
             AND message.seq = chat_groups.last_message {MESSAGE_JOINS}"
        );
        let input = groups.iter().map(|id| (*id, viewer));
        bulk_select_many(db, &[Int("id"), Int("viewer")], input, &query).await
    }
}

impl StoredMessage {
    /// Returns a page of a group's messages, as a user sees them. Returns `None` if the group does not exist.
    ///
    /// A page has at most `limit` messages of about 256 KiB in total, and at least one message.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_page(
        db: &DatabaseConnection,
        group_id: i64,
        viewer: i64,
        window: HistoryWindow,
        content: &HistoryContent,
        limit: u64,
    ) -> Result<Option<HistoryPage>, DbErr> {
        let (comparison, seq, direction) = window.sql_parts();
        let index = match db.get_database_backend() {
            // SQLite has no statistics to choose an index by.
            DbBackend::Sqlite => "INDEXED BY \"idx-events-timeline\"",
            _ => "",
        };
        // The query sums up the sizes before it reads any text. The text of an edited message is that of its edit.
        let condition = format!(
            "message.group_id = $1 AND message.seq IN \
             (SELECT seq FROM \
             (SELECT seq, SUM(size) OVER (ORDER BY seq {direction}) - size AS before FROM \
             (SELECT sized.seq, octet_length(sized.data) + COALESCE((SELECT octet_length(edit.data) \
             FROM events edit WHERE edit.group_id = $1 AND edit.seq = sized.revised), 0) AS size \
             FROM events sized {index} WHERE sized.group_id = $1 AND {listed} \
             AND sized.seq {comparison} $2 ORDER BY sized.seq {direction} LIMIT $3) AS sizes) \
             AS sums WHERE before < {HISTORY_PAGE_BYTES})",
            listed = content.sql_condition("sized")
        );
        // One more row shows whether the history continues.
        let values = || [group_id.into(), seq.into(), (limit + 1).into()];
        let rows = MessageRow::find(db, viewer, &condition, values()).await?;
        if let Some(position) = rows.first().map(|row| row.position) {
            let more = Self::has_more(db, group_id, window, content, limit, &rows);
            let has_more = more.await?;
            return Ok(Some(HistoryPage::from_rows(
                rows, position, window, limit, has_more,
            )));
        }
        // Without a row, the head of the log must be read separately, in one snapshot with the messages.
        let snapshot = begin_snapshot(db).await?;
        let heads = chat_groups::Entity::find_by_id(group_id)
            .select_only()
            .column(chat_groups::Column::Head)
            .into_tuple();
        let Some(position) = heads.one(&snapshot).await? else {
            return Ok(None);
        };
        let rows = MessageRow::find(&snapshot, viewer, &condition, values()).await?;
        let more = Self::has_more(&snapshot, group_id, window, content, limit, &rows);
        let has_more = more.await?;
        snapshot.commit().await?;
        Ok(Some(HistoryPage::from_rows(
            rows, position, window, limit, has_more,
        )))
    }

    /// Returns whether the history continues beyond the rows of a page.
    ///
    /// The database is queried only if the page may have ended because of its bytes.
    async fn has_more(
        db: &impl ConnectionTrait,
        group_id: i64,
        window: HistoryWindow,
        content: &HistoryContent,
        limit: u64,
        rows: &[MessageRow],
    ) -> Result<bool, DbErr> {
        if rows.len() as u64 > limit {
            return Ok(true);
        }
        let bytes: usize = rows.iter().map(MessageRow::stored_bytes).sum();
        let may_be_cut =
            bytes + MAX_STORED_MESSAGE_BYTES >= usize::try_from(HISTORY_PAGE_BYTES).unwrap_or(0);
        let seqs = rows.iter().map(|row| row.seq);
        let last = match window {
            HistoryWindow::Newest | HistoryWindow::Before(_) => seqs.min(),
            HistoryWindow::After(_) => seqs.max(),
        };
        let (true, Some(last)) = (may_be_cut, last) else {
            return Ok(false);
        };
        let mut beyond = events::Entity::find()
            .select_only()
            .column(events::Column::Seq)
            .filter(events::Column::GroupId.eq(group_id))
            .filter(Expr::cust(content.sql_condition("events")));
        beyond = match window {
            HistoryWindow::Newest | HistoryWindow::Before(_) => {
                beyond.filter(events::Column::Seq.lt(last))
            }
            HistoryWindow::After(_) => beyond.filter(events::Column::Seq.gt(last)),
        };
        let beyond: Option<i64> = beyond.limit(1).into_tuple().one(db).await?;
        Ok(beyond.is_some())
    }

    /// Returns a message as a user sees it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        db: &DatabaseConnection,
        group_id: i64,
        viewer: i64,
        seq: i64,
    ) -> Result<Option<Self>, DbErr> {
        let condition = format!(
            "message.group_id = $1 AND message.kind = '{}' AND message.seq = $2",
            kind::MESSAGE_CREATED
        );
        let rows = MessageRow::find(db, viewer, &condition, [group_id.into(), seq.into()]).await?;
        Ok(rows.into_iter().next().map(Into::into))
    }
}

impl HistoryPage {
    fn from_rows(
        mut rows: Vec<MessageRow>,
        head: i64,
        window: HistoryWindow,
        limit: u64,
        has_more: bool,
    ) -> Self {
        rows.sort_unstable_by_key(|row| Reverse(row.seq));
        let surplus = rows
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        match window {
            HistoryWindow::Newest | HistoryWindow::Before(_) => rows.truncate(rows.len() - surplus),
            HistoryWindow::After(_) => drop(rows.drain(..surplus)),
        }
        let lowest = rows.last().map(|row| row.seq);
        let first_seq = match window {
            HistoryWindow::Newest | HistoryWindow::Before(_) => {
                lowest.filter(|_| has_more).unwrap_or(1)
            }
            HistoryWindow::After(seq) => seq.saturating_add(1),
        };
        let (messages, notes): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| row.kind == kind::MESSAGE_CREATED);
        Self {
            messages: messages.into_iter().map(Into::into).collect(),
            notes: notes.into_iter().map(Into::into).collect(),
            first_seq,
            head,
            has_more,
        }
    }
}

impl HistoryContent {
    /// Returns the SQL condition for the events of the page, where `table` is the name of the events.
    fn sql_condition(&self, table: &str) -> String {
        let timeline = events::timeline_condition(table);
        match self {
            Self::Messages => format!("{timeline} AND {table}.kind = '{}'", kind::MESSAGE_CREATED),
            Self::MessagesAndNotes(kinds) => {
                let own = [kind::MESSAGE_CREATED].into_iter().chain(NOTE_KINDS);
                let kinds: Vec<_> = own.chain(kinds.iter().map(EventKind::as_str)).collect();
                // The condition of the index comes first, so that a database uses the index.
                format!("{timeline} AND {table}.kind IN ('{}')", kinds.join("', '"))
            }
        }
    }
}

impl From<MessageRow> for Event {
    fn from(row: MessageRow) -> Self {
        Self {
            seq: row.seq,
            at: row.created_at,
            by: row.username.map(Into::into),
            cid: row.cid,
            body: EventBody::from_log(row.kind, row.data),
        }
    }
}

impl HistoryWindow {
    /// Returns the SQL of a window: a comparison of seqs, the seq to compare with, and the order.
    const fn sql_parts(self) -> (&'static str, i64, &'static str) {
        match self {
            Self::Newest => ("<=", i64::MAX, "DESC"),
            Self::Before(seq) => ("<", seq, "DESC"),
            Self::After(seq) => (">", seq, "ASC"),
        }
    }
}

impl From<MessageRow> for StoredMessage {
    fn from(row: MessageRow) -> Self {
        // The log has only JSON that this program wrote. Other text counts as a message without a text.
        let created: MessageCreated = serde_json::from_str(&row.data).unwrap_or_default();
        let deleted = row.revision.as_deref() == Some(kind::MESSAGE_DELETED);
        let edit = row
            .revised_data
            .filter(|_| row.revision.as_deref() == Some(kind::MESSAGE_EDITED));
        let text = match &edit {
            Some(edit) => {
                let edit: MessageEdited = serde_json::from_str(edit).unwrap_or_default();
                edit.text
            }
            None => created.text,
        };
        Self {
            seq: row.seq,
            at: row.created_at,
            by: row.username,
            is_author_active: row.is_active.map(|is_active| is_active > 0),
            cid: row.cid,
            text,
            reply_to: created.reply_to,
            edited_at: row.revised_at.filter(|_| edit.is_some()),
            deleted,
            reactions: ReactionSummary::parse_column(row.reactions.as_deref()),
        }
    }
}
