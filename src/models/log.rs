//! The logs of groups: the only way to append events.
//!
//! One transaction locks the row of a group, changes rows, appends the events and moves the head. Commit order is
//! therefore `seq` order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{SubsecRound, Utc};
use loco_rs::prelude::*;
use sea_orm::{
    DatabaseTransaction, DbBackend, FromQueryResult, IsolationLevel, SqliteTransactionMode,
    TransactionOptions,
};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{
    bulk_query::{
        InputColumn::{self, Int, NullableInt, NullableText, Text, Time},
        InputRow, bulk_execute, bulk_select_many,
    },
    chat_groups,
    event_data::{EventData, MessageCreated, MessageEdited, kind},
    events::{self, Event, NewEvent},
    reactions,
};
use crate::database::{DbErrorKind, classify};

/// The longest time for which [`was_committed`] queries the database, and the pause between two tries.
const COMMIT_CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const COMMIT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The logs of some groups. No other transaction appends to them until this transaction ends.
pub struct LockedLogs {
    logs: HashMap<i64, LogRow>,
    locked_at: DateTimeWithTimeZone,
    /// The groups that this transaction has deleted.
    closed_groups: BTreeSet<i64>,
    /// The groups with new events.
    appended_groups: BTreeSet<i64>,
    /// The rows of the new events.
    event_rows: Vec<EventInsert>,
    /// The last event that changed a message, by group and message.
    revisions: HashMap<(i64, i64), i64>,
    /// Groups and messages whose texts are deleted.
    deleted_messages: Vec<(i64, i64)>,
    /// The edits of messages, by group and message.
    message_edits: BTreeMap<(i64, i64), MessageEdits>,
    /// New read positions, by group and user: the seq and the number of messages up to it. An author has read all
    /// that precedes the own message.
    read_positions: HashMap<(i64, i64), (i64, i64)>,
}

/// An event that is to be stored. All events of a transaction have the same time.
struct EventInsert {
    group_id: i64,
    seq: i64,
    kind: Cow<'static, str>,
    user_id: Option<i64>,
    cid: Option<String>,
    data: String,
    /// The number of messages of the group, with this event.
    messages: i64,
    /// The message that the event edits or deletes.
    target: Option<i64>,
}

impl EventInsert {
    /// The columns of [`EventInsert::into_cells`], in the same order.
    const COLUMNS: [InputColumn; 9] = [
        Int("group_id"),
        Int("seq"),
        Text("kind"),
        NullableInt("user_id"),
        NullableText("cid"),
        Text("data"),
        Time("created_at"),
        Int("messages"),
        NullableInt("target"),
    ];

    fn into_cells(self, created_at: DateTimeWithTimeZone) -> impl InputRow {
        (
            self.group_id,
            self.seq,
            self.kind.into_owned(),
            self.user_id,
            self.cid,
            self.data,
            created_at,
            self.messages,
            self.target,
        )
    }
}

/// The end of a log.
#[derive(FromQueryResult, Deserialize)]
struct LogRow {
    id: i64,
    head: i64,
    messages: i64,
    last_message: i64,
    /// The time of the database at which the log was locked. `None` on SQLite.
    now: Option<DateTimeWithTimeZone>,
}

/// The number of groups whose heads [`AcknowledgedHeads`] keeps.
const MAX_TRACKED_HEADS: usize = 65_536;

/// The last acknowledged events of groups, as this process knows them. A database whose log ends before them has
/// lost stored events.
#[derive(Default)]
pub struct AcknowledgedHeads(Mutex<HashMap<i64, i64>>);

/// A log that ends before an acknowledged event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log of group {group} ends at {head}, and {acknowledged} was acknowledged")]
pub struct LogBehind {
    pub group: i64,
    pub head: i64,
    pub acknowledged: i64,
}

impl AcknowledgedHeads {
    /// Notes that the events up to these heads were acknowledged.
    pub fn record(&self, heads: impl IntoIterator<Item = (i64, i64)>) {
        let mut known = self.lock_heads();
        for (group, seq) in heads {
            if known.len() >= MAX_TRACKED_HEADS && !known.contains_key(&group) {
                known.clear();
            }
            let head = known.entry(group).or_default();
            *head = seq.max(*head);
        }
    }

    /// Forgets all heads. A new epoch calls this: its numbers belong to other events.
    pub fn clear(&self) {
        self.lock_heads().clear();
    }

    /// Returns all heads, by group, to compare with heads that are read after this call.
    #[must_use]
    pub fn snapshot(&self) -> HashMap<i64, i64> {
        self.lock_heads().clone()
    }

    /// Returns the first of these logs that ends too early. The logs, given by group and head, must be locked.
    #[must_use]
    fn find_log_behind(&self, logs: impl IntoIterator<Item = (i64, i64)>) -> Option<LogBehind> {
        let known = self.lock_heads();
        logs.into_iter().find_map(|(group, head)| {
            let acknowledged = *known.get(&group)?;
            (head < acknowledged).then_some(LogBehind {
                group,
                head,
                acknowledged,
            })
        })
    }

    fn lock_heads(&self) -> MutexGuard<'_, HashMap<i64, i64>> {
        // A panic elsewhere leaves the map valid: it happens between two calls of the map's own methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a transaction that writes.
///
/// # Errors
/// When the database fails.
pub async fn begin_write(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    db.begin_with_options(TransactionOptions {
        // A transaction that has already read cannot wait for another writer.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    })
    .await
}

/// Begins a transaction that reads. All its statements see the state of the first statement.
///
/// # Errors
/// When the database fails.
pub async fn begin_snapshot(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let is_postgres = db.get_database_backend() == DbBackend::Postgres;
    db.begin_with_options(TransactionOptions {
        // SQLite has this isolation level alone.
        isolation_level: is_postgres.then_some(IsolationLevel::RepeatableRead),
        ..Default::default()
    })
    .await
}

/// Returns whether PostgreSQL committed a transaction whose COMMIT lost its connection. `None` if the database does not
/// answer within 5 s.
///
/// The proof is an event of the transaction: it is in the log, or it is not, once the transaction is over. The id of
/// the transaction is not a proof: after a crash, PostgreSQL may give the id to the next transaction.
pub async fn was_committed(db: &DatabaseConnection, group: i64, event: &Event) -> Option<bool> {
    let settled = async {
        loop {
            match is_event_stored(db, group, event).await {
                Ok(is_stored) => return is_stored,
                // The server restarts, or has not noticed yet that the connection was lost.
                Err(_) => sleep(COMMIT_CHECK_INTERVAL).await,
            }
        }
    };
    timeout(COMMIT_CHECK_TIMEOUT, settled).await.ok()
}

async fn is_event_stored(
    db: &DatabaseConnection,
    group: i64,
    event: &Event,
) -> Result<bool, DbErr> {
    let transaction = begin_write(db).await?;
    // The transaction that appended holds the lock until it is over.
    LockedLogs::lock(&transaction, BTreeSet::from([group])).await?;
    // Another transaction may have taken the seq since, but with another time.
    let found = events::Entity::find_by_id((group, event.seq))
        .filter(events::Column::CreatedAt.eq(event.at))
        .one(&transaction)
        .await?;
    // Other transactions wait for the group.
    transaction.rollback().await?;
    Ok(found.is_some())
}

impl LockedLogs {
    /// Locks these groups, without those that do not exist or are deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock(
        transaction: &DatabaseTransaction,
        groups: BTreeSet<i64>,
    ) -> Result<Self, DbErr> {
        // SQLite has one writer at a time: this transaction.
        let is_sqlite = transaction.get_database_backend() == DbBackend::Sqlite;
        // All nodes lock in the same order. Otherwise two nodes could wait for each other.
        let logs = "SELECT chat_groups.id, head, messages, last_message FROM chat_groups \
                    WHERE id IN (SELECT id FROM input) AND closed_at IS NULL ORDER BY id";
        // All nodes share the clock of PostgreSQL. The time is read when the lock is granted, so that a later event
        // of a group never has an earlier time.
        let query = if is_sqlite {
            format!("SELECT *, NULL AS now FROM ({logs})")
        } else {
            format!("SELECT *, clock_timestamp() AS now FROM ({logs} FOR UPDATE) AS locked")
        };
        let groups = groups.into_iter().map(|group| [group]);
        let logs: Vec<LogRow> = bulk_select_many(transaction, &[Int("id")], groups, &query).await?;
        let granted = logs.iter().filter_map(|log| log.now).max();
        let at = granted.unwrap_or_else(|| Utc::now().into());
        Ok(Self {
            logs: logs.into_iter().map(|log| (log.id, log)).collect(),
            locked_at: at.trunc_subsecs(3),
            closed_groups: BTreeSet::new(),
            appended_groups: BTreeSet::new(),
            event_rows: Vec::new(),
            revisions: HashMap::new(),
            deleted_messages: Vec::new(),
            message_edits: BTreeMap::new(),
            read_positions: HashMap::new(),
        })
    }

    /// Appends an event: it gets the next seq of its group. `None` if the group is not locked or is deleted.
    pub fn append(&mut self, event: NewEvent) -> Option<Event> {
        let group = event.group_id;
        if self.closed_groups.contains(&group) {
            return None;
        }
        let log = self.logs.get_mut(&group)?;
        log.head += 1;
        let seq = log.head;
        let user_id = event.actor.as_ref().map(|author| author.id);
        // An application's own event has no data that the log knows.
        let data = event.body.data();
        if let Some(EventData::MessageCreated(_)) = data.as_deref() {
            log.messages += 1;
            log.last_message = seq;
            if let Some(user_id) = user_id {
                let place = self.read_positions.entry((group, user_id)).or_default();
                *place = (*place).max((seq, log.messages));
            }
        }
        let target = data.as_deref().and_then(EventData::revised_message);
        if let Some(target) = target {
            let before = self.revisions.insert((group, target), seq);
            match data.as_deref() {
                Some(EventData::MessageDeleted(_)) => self.deleted_messages.push((group, target)),
                Some(EventData::MessageEdited(edit)) => {
                    let replaced = self.message_edits.entry((group, target)).or_default();
                    replaced.earlier_edits.extend(before);
                    replaced.newest_text.clone_from(&edit.text);
                }
                _ => {}
            }
        }
        drop(data);
        let body = event.body;
        self.appended_groups.insert(group);
        self.event_rows.push(EventInsert {
            group_id: group,
            seq,
            kind: body.stored_kind(),
            user_id,
            cid: event.cid.clone(),
            data: body.json().get().to_owned(),
            messages: log.messages,
            target,
        });
        Some(Event {
            seq,
            at: self.locked_at,
            by: event.actor.map(|author| author.username),
            cid: event.cid,
            body,
        })
    }

    /// Notes that a user has read up to an event. `messages` is the number of messages up to the event; without it,
    /// the seq must be beyond the end of the log, and the user has read all.
    ///
    /// Returns the last event that the user has read, and the time.
    pub fn mark_read(
        &mut self,
        group: i64,
        user: i64,
        seq: i64,
        messages: Option<i64>,
    ) -> Option<(i64, DateTimeWithTimeZone)> {
        let log = self.open_log(group)?;
        let (seq, messages) = match messages {
            Some(messages) => (seq, messages),
            None if seq > log.head => (log.head, log.messages),
            None => return None,
        };
        let place = self.read_positions.entry((group, user)).or_default();
        *place = (*place).max((seq, messages));
        Some((seq, self.locked_at))
    }

    /// Returns the first of the locked logs that ends before an acknowledged event.
    #[must_use]
    pub fn find_log_behind(&self, acknowledged: &AcknowledgedHeads) -> Option<LogBehind> {
        acknowledged.find_log_behind(self.logs.values().map(|log| (log.id, log.head)))
    }

    /// Returns the number of messages of a group, with those that this transaction has appended.
    pub fn message_count(&self, group: i64) -> Option<i64> {
        Some(self.open_log(group)?.messages)
    }

    /// Returns the last event of a group, with those that this transaction has appended, and the time. `None` if the
    /// group is not locked or is deleted.
    pub fn head(&self, group: i64) -> Option<(i64, DateTimeWithTimeZone)> {
        Some((self.open_log(group)?.head, self.locked_at))
    }

    /// Gives the row of a group the end of its log. The database has the end of the log after [`LockedLogs::flush`].
    pub fn copy_position_to(&self, group: &mut chat_groups::Model) {
        if let Some(log) = self.logs.get(&group.id) {
            group.head = log.head;
            group.messages = log.messages;
            group.last_message = log.last_message;
        }
    }

    /// Notes that this transaction has deleted a group: no event follows.
    pub fn close(&mut self, group: i64) {
        self.closed_groups.insert(group);
    }

    fn open_log(&self, group: i64) -> Option<&LogRow> {
        let log = self.logs.get(&group)?;
        (!self.closed_groups.contains(&group)).then_some(log)
    }

    /// Writes the appended events and the rows that depend on them. The caller commits the transaction.
    ///
    /// # Errors
    /// When the database fails, and when one of the groups has an event of the same user with the same `cid`.
    pub async fn flush(mut self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        self.insert_events(transaction).await?;
        self.update_related_rows(transaction).await
    }

    /// Writes as [`LockedLogs::flush`]. Returns `false` if an event with the same `cid` exists: the caller must then
    /// roll back the transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn flush_unless_duplicate(
        mut self,
        transaction: &DatabaseTransaction,
    ) -> Result<bool, DbErr> {
        if let Err(error) = self.insert_events(transaction).await {
            return match classify(&error) {
                DbErrorKind::UniqueViolation => Ok(false),
                _ => Err(error),
            };
        }
        self.update_related_rows(transaction).await?;
        Ok(true)
    }

    /// Inserts the events and moves the heads of the logs.
    async fn insert_events(&mut self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let grown = self.appended_groups.iter();
        bulk_execute(
            transaction,
            &[Int("id"), Int("head"), Int("messages"), Int("last_message")],
            grown
                .filter_map(|group| self.logs.get(group))
                .map(|log| [log.id, log.head, log.messages, log.last_message]),
            "UPDATE chat_groups SET head = input.head, messages = input.messages, \
             last_message = input.last_message FROM input WHERE chat_groups.id = input.id",
        )
        .await?;
        let rows = mem::take(&mut self.event_rows).into_iter();
        bulk_execute(
            transaction,
            &EventInsert::COLUMNS,
            rows.map(|row| row.into_cells(self.locked_at)),
            "INSERT INTO events \
             (group_id, seq, kind, user_id, cid, data, created_at, messages, target) \
             SELECT * FROM input WHERE group_id IS NOT NULL",
        )
        .await
    }

    /// Updates the rows that depend on the events: revised and deleted messages, and read positions.
    async fn update_related_rows(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        // This precedes the update of `revised`: the messages still refer to their earlier edits.
        for ((group, target), replaced) in &self.message_edits {
            replaced
                .redact_replaced_texts(transaction, *group, *target)
                .await?;
        }
        let revisions = self.revisions.iter();
        bulk_execute(
            transaction,
            &[Int("group_id"), Int("seq"), Int("revised")],
            revisions.map(|((group, target), seq)| [*group, *target, *seq]),
            "UPDATE events SET revised = input.revised FROM input \
             WHERE events.group_id = input.group_id AND events.seq = input.seq",
        )
        .await?;
        for (group, target) in self.deleted_messages {
            redact_deleted_message(transaction, group, target).await?;
        }
        let positions = self.read_positions.iter();
        bulk_execute(
            transaction,
            &[Int("group_id"), Int("user_id"), Int("seq"), Int("messages")],
            positions.map(|((group, user), (seq, messages))| [*group, *user, *seq, *messages]),
            "UPDATE memberships SET read = input.seq, read_messages = input.messages FROM input \
             WHERE memberships.group_id = input.group_id AND memberships.user_id = input.user_id \
             AND memberships.read < input.seq",
        )
        .await?;
        Ok(())
    }
}

/// The edits of one message in one transaction.
#[derive(Default)]
struct MessageEdits {
    /// The text of the newest edit.
    newest_text: Option<String>,
    /// The edits before it, in the same transaction.
    earlier_edits: Vec<i64>,
}

impl MessageEdits {
    /// Removes the texts that the newest edit replaces from the log: the text of the message and of the edit before.
    ///
    /// The message gets the newest text, so that the log replays a whole message. Earlier edits lost their texts when
    /// they were replaced.
    async fn redact_replaced_texts(
        &self,
        transaction: &DatabaseTransaction,
        group: i64,
        target: i64,
    ) -> Result<(), DbErr> {
        use sea_orm::sea_query::Expr;
        let message: Option<(String, Option<i64>)> = events::Entity::find()
            .select_only()
            .column(events::Column::Data)
            .column(events::Column::Revised)
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Seq.eq(target))
            .into_tuple()
            .one(transaction)
            .await?;
        let Some((message, revised)) = message else {
            return Ok(());
        };
        let message: MessageCreated = serde_json::from_str(&message).unwrap_or_default();
        let edited = EventData::MessageCreated(message.with_edit(self.newest_text.clone()));
        events::Entity::update_many()
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Seq.eq(target))
            .filter(events::Column::Kind.eq(kind::MESSAGE_CREATED))
            .col_expr(events::Column::Data, Expr::value(edited.to_json().get()))
            .exec(transaction)
            .await?;
        let replaced = EventData::MessageEdited(MessageEdited::replaced(target));
        let edits: Vec<i64> = self.earlier_edits.iter().copied().chain(revised).collect();
        events::Entity::update_many()
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Seq.is_in(edits))
            .filter(events::Column::Kind.eq(kind::MESSAGE_EDITED))
            .col_expr(events::Column::Data, Expr::value(replaced.to_json().get()))
            .exec(transaction)
            .await?;
        Ok(())
    }
}

/// Removes the text of a message and of its edits from the log, and deletes the reactions to the message.
async fn redact_deleted_message(
    transaction: &DatabaseTransaction,
    group: i64,
    target: i64,
) -> Result<(), DbErr> {
    use sea_orm::sea_query::Expr;
    let of_kind = |kind: &str| {
        events::Entity::update_many()
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Kind.eq(kind))
    };
    let message = EventData::MessageCreated(MessageCreated::deleted());
    of_kind(kind::MESSAGE_CREATED)
        .filter(events::Column::Seq.eq(target))
        .col_expr(events::Column::Data, Expr::value(message.to_json().get()))
        .exec(transaction)
        .await?;
    let edit = EventData::MessageEdited(MessageEdited::deleted(target));
    of_kind(kind::MESSAGE_EDITED)
        .filter(events::Column::Target.eq(target))
        .col_expr(events::Column::Data, Expr::value(edit.to_json().get()))
        .exec(transaction)
        .await?;
    reactions::Entity::delete_many()
        .filter(reactions::Column::GroupId.eq(group))
        .filter(reactions::Column::Seq.eq(target))
        .exec(transaction)
        .await?;
    Ok(())
}
