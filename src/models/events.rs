//! Events: what happened in a group, in the one order in which it happened.

use std::{borrow::Cow, sync::Arc};

use loco_rs::prelude::*;
use sea_orm::{FromQueryResult, Statement};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bulk_query::fetch_many;

pub use super::_entities::events::{ActiveModel, Column, Entity, Model};

/// Kinds of events, as they are stored. A node may meet others, of newer nodes beside it.
pub mod kind {
    pub const MESSAGE_CREATED: &str = "message.created";
    pub const MESSAGE_EDITED: &str = "message.edited";
    pub const MESSAGE_DELETED: &str = "message.deleted";
    pub const REACTION_ADDED: &str = "reaction.added";
    pub const REACTION_REMOVED: &str = "reaction.removed";
    pub const MEMBER_JOINED: &str = "member.joined";
    pub const MEMBER_LEFT: &str = "member.left";
    pub const MEMBER_ROLE: &str = "member.role";
    pub const GROUP_UPDATED: &str = "group.updated";
}

/// The SQL condition of events that stand on their own in the history of a group, for the table of this name. The
/// index `idx-events-timeline` has this condition, and a database uses it where the query repeats it.
#[must_use]
pub fn timeline_condition(table: &str) -> String {
    format!(
        "{table}.kind NOT IN ('{}', '{}', '{}', '{}')",
        kind::MESSAGE_EDITED,
        kind::MESSAGE_DELETED,
        kind::REACTION_ADDED,
        kind::REACTION_REMOVED
    )
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub id: i64,
    pub username: Arc<str>,
}

/// An event that has no place in its group's log yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub group_id: i64,
    pub kind: &'static str,
    /// `None`: no user did it.
    pub actor: Option<Actor>,
    /// The client's own id of the request, unique for each author in each group.
    pub cid: Option<String>,
    /// The message that it edits or deletes.
    pub target: Option<i64>,
    /// A JSON object; what is in it depends on the kind.
    pub data: String,
}

impl NewEvent {
    /// What a member does that is no message.
    #[must_use]
    pub fn by_actor(author: Actor, group_id: i64, kind: &'static str, data: &Value) -> Self {
        Self {
            group_id,
            kind,
            actor: Some(author),
            cid: None,
            target: None,
            data: data.to_string(),
        }
    }
}

/// An event of a group's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place: 1 is the first.
    pub seq: i64,
    /// When it was stored, to the millisecond.
    pub at: DateTimeWithTimeZone,
    /// The username of whoever did it, if it was a user.
    pub by: Option<Arc<str>>,
    pub kind: Cow<'static, str>,
    pub cid: Option<String>,
    /// A JSON object.
    pub data: String,
}

/// Events that are read at once where their size is limited; each may be as large as a frame.
const EVENTS_PER_CHUNK: u64 = 50;

/// A row of the log.
#[derive(FromQueryResult, Deserialize)]
struct EventRow {
    seq: i64,
    kind: String,
    username: Option<String>,
    cid: Option<String>,
    data: String,
    created_at: DateTimeWithTimeZone,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What comes after an event in a group's log, in order, at most `limit` of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_after(
        db: &DatabaseConnection,
        group_id: i64,
        seq: i64,
        limit: u64,
    ) -> Result<Vec<Event>, DbErr> {
        // No reference leads from events to users, see the migration.
        let query = Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT seq, kind, username, cid, data, events.created_at AS created_at \
             FROM events LEFT JOIN users ON users.id = events.user_id \
             WHERE group_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            [group_id.into(), seq.into(), limit.into()],
        );
        let mut rows: Vec<EventRow> = fetch_many(db, query).await?;
        rows.sort_unstable_by_key(|row| row.seq);
        Ok(rows
            .into_iter()
            .map(|row| Event {
                seq: row.seq,
                at: row.created_at,
                by: row.username.map(Into::into),
                kind: row.kind.into(),
                cid: row.cid,
                data: row.data,
            })
            .collect())
    }

    /// The same, and not more than about so many bytes of it; but one at least.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page_after(
        db: &DatabaseConnection,
        group_id: i64,
        seq: i64,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Event>, DbErr> {
        let mut page: Vec<Event> = Vec::new();
        let mut read = 0;
        loop {
            let wanted = EVENTS_PER_CHUNK.min(limit - page.len() as u64);
            let last = page.last().map_or(seq, |event| event.seq);
            let chunk = Self::list_after(db, group_id, last, wanted).await?;
            let is_last = (chunk.len() as u64) < wanted;
            for event in chunk {
                read += event.data.len();
                if read > bytes && !page.is_empty() {
                    return Ok(page);
                }
                page.push(event);
            }
            if is_last || page.len() as u64 >= limit {
                return Ok(page);
            }
        }
    }
}

/// What the log keeps of a message that was deleted.
#[must_use]
pub fn deleted_message_data() -> String {
    json!({"text": null, "deleted": true}).to_string()
}

/// Returns the data that the log keeps of a message that was edited: the data of the message, with the text
/// of its edit.
#[must_use]
pub fn edited_message_data(message: &str, edit: &str) -> String {
    let mut data: Map<String, Value> = serde_json::from_str(message).unwrap_or_default();
    let edit: Map<String, Value> = serde_json::from_str(edit).unwrap_or_default();
    let text = edit.get("text").cloned().unwrap_or_default();
    data.insert("text".to_owned(), text);
    data.insert("edited".to_owned(), true.into());
    Value::Object(data).to_string()
}

/// Returns the data that the log keeps of an edit that a later edit replaced. The text is empty and not null:
/// clients take null for a message that was deleted, and the later edit follows in the log.
#[must_use]
pub fn replaced_edit_data(target: i64) -> String {
    json!({"seq": target, "text": "", "replaced": true}).to_string()
}

/// Returns whether the log has kept no text to compare with: that of a message which was edited or deleted,
/// or of an edit which was replaced.
#[must_use]
pub fn is_redacted(data: &Value) -> bool {
    let marks = ["deleted", "edited", "replaced"];
    marks
        .iter()
        .any(|mark| data.get(mark) == Some(&Value::Bool(true)))
}

/// What the log keeps of an edit of a message that was deleted.
#[must_use]
pub fn deleted_edit_data(target: i64) -> String {
    json!({"seq": target, "text": null, "deleted": true}).to_string()
}
