//! Events: the changes of a group, in the one order of its log.

use std::sync::Arc;

use loco_rs::prelude::*;
use sea_orm::{FromQueryResult, Statement};
use serde::Deserialize;

use super::{
    bulk_query::fetch_many,
    event_data::{EventBody, kind},
};

pub use super::_entities::events::{ActiveModel, Column, Entity, Model};

/// Returns the SQL condition of events that stand on their own in the history of a group, for the table of this
/// name.
///
/// The index `idx-events-timeline` has this condition. A database uses the index where the query repeats it.
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

/// The user who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub id: i64,
    pub username: Arc<str>,
}

/// An event that is not in the log of its group yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub group_id: i64,
    /// `None`: an operator gave the command.
    pub actor: Option<Actor>,
    /// The client's own id of the command, unique for each actor in each group.
    pub cid: Option<String>,
    pub body: EventBody,
}

/// An event of a group's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The number of the event in the log: the first event has 1.
    pub seq: i64,
    /// The time at which the event was stored, to the millisecond.
    pub at: DateTimeWithTimeZone,
    /// The username of the actor. `None`: an operator.
    pub by: Option<Arc<str>>,
    pub cid: Option<String>,
    /// The kind and the data.
    pub body: EventBody,
}

/// Events that one query reads where the size of a page is limited. Each may be as large as a frame.
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
    /// Returns the events after a `seq` in a group's log, in order, at most `limit`.
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
                cid: row.cid,
                body: EventBody::from_log(row.kind, row.data),
            })
            .collect())
    }

    /// Returns the events after a `seq`, as [`Model::list_after`], with at most about `bytes` bytes of data, and at
    /// least one event.
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
                read += event.body.json().get().len();
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
