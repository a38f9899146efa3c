//! How events get their places: the one way in which a log grows.
//!
//! Taking a group's row for oneself, changing what there is to change, appending the events that
//! say so and moving the head on happen in one transaction, so commit order is `seq` order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{SecondsFormat, SubsecRound, Utc};
use loco_rs::prelude::*;
use sea_orm::{
    DatabaseTransaction, DbBackend, FromQueryResult, IsolationLevel, SqliteTransactionMode,
    TransactionOptions,
};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    bulk_query::{
        InputColumn::{self, Int, Text, Time},
        bulk_execute, bulk_select_many,
    },
    events::{self, Event, NewEvent, kind},
    reactions,
};
use crate::database::{DbErrorKind, classify};

/// How long it is asked what became of a transaction, and how often.
const COMMIT_CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const COMMIT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The logs of some groups, which nobody else appends to until the transaction ends.
pub struct LockedLogs {
    logs: HashMap<i64, LogRow>,
    locked_at: DateTimeWithTimeZone,
    /// The groups that have grown, and the rows that they have grown by.
    appended_groups: BTreeSet<i64>,
    event_rows: Vec<EventInsert>,
    /// By group and message: the last event that changed it.
    revisions: HashMap<(i64, i64), i64>,
    /// Groups and messages of which the text goes.
    deleted_messages: Vec<(i64, i64)>,
    /// The texts that replace those of a message, by group and message, the newest one.
    message_edits: BTreeMap<(i64, i64), MessageEdits>,
    /// By group and user: who said something has read what came before.
    read_positions: HashMap<(i64, i64), (i64, i64)>,
}

/// An event that is to be stored. All events of a transaction have the same time.
struct EventInsert {
    group_id: i64,
    seq: i64,
    kind: &'static str,
    user_id: Option<i64>,
    cid: Option<String>,
    data: String,
    /// The number of messages of the group, with this event.
    messages: i64,
    /// The message that the event edits or deletes.
    target: Option<i64>,
}

impl EventInsert {
    /// The columns of [`EventInsert::cells`], in the same order.
    const COLUMNS: [InputColumn; 9] = [
        Int("group_id"),
        Int("seq"),
        Text("kind"),
        Int("user_id"),
        Text("cid"),
        Text("data"),
        Time("created_at"),
        Int("messages"),
        Int("target"),
    ];

    fn cells<'a>(&'a self, created_at: &'a str) -> impl Serialize + 'a {
        (
            self.group_id,
            self.seq,
            self.kind,
            self.user_id,
            &self.cid,
            &self.data,
            created_at,
            self.messages,
            self.target,
        )
    }
}

/// Where a log stands.
#[derive(FromQueryResult, Deserialize)]
struct LogRow {
    id: i64,
    head: i64,
    messages: i64,
    last_message: i64,
    /// The time of the database at which it was locked; on PostgreSQL alone.
    now: Option<DateTimeWithTimeZone>,
}

/// Groups of which [`AcknowledgedHeads`] keeps the head.
const MAX_TRACKED_HEADS: usize = 65_536;

/// The last events of groups that this process has acknowledged. A database whose log ends before them has
/// lost what it had stored.
#[derive(Default)]
pub struct AcknowledgedHeads(Mutex<HashMap<i64, i64>>);

/// A log that ends before what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log of group {group} ends at {head}, and {acknowledged} was acknowledged")]
pub struct LogBehind {
    pub group: i64,
    pub head: i64,
    pub acknowledged: i64,
}

impl AcknowledgedHeads {
    /// Notes that events up to these were acknowledged.
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

    /// Forgets all of them: the numbers mean something else from now on.
    pub fn clear(&self) {
        self.lock_heads().clear();
    }

    /// All of them, by group. Heads that are read after this call are compared with these.
    #[must_use]
    pub fn snapshot(&self) -> HashMap<i64, i64> {
        self.lock_heads().clone()
    }

    /// The first of these logs, by group and head, that ends too early. They must be locked.
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
        // A panic elsewhere leaves the map as it was between two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a transaction that will write.
///
/// # Errors
/// When the database fails.
pub async fn begin_write(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    db.begin_with_options(TransactionOptions {
        // One that has read already cannot wait for another that writes.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    })
    .await
}

/// Begins a transaction that reads, and sees in all its statements what was there at its first.
///
/// # Errors
/// When the database fails.
pub async fn begin_snapshot(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let is_postgres = db.get_database_backend() == DbBackend::Postgres;
    db.begin_with_options(TransactionOptions {
        // SQLite knows no other.
        isolation_level: is_postgres.then_some(IsolationLevel::RepeatableRead),
        ..Default::default()
    })
    .await
}

/// Whether a transaction of PostgreSQL was committed, where the answer was lost with the connection, by an
/// event of its own: whether that is in the log once the transaction is over. `None` if it is not known
/// within 5 s.
///
/// The number of a transaction would not tell: one that a crash has undone may have left no trace, and the
/// next one gets its number.
pub async fn was_committed(db: &DatabaseConnection, group: i64, event: &Event) -> Option<bool> {
    let settled = async {
        loop {
            match is_event_stored(db, group, event).await {
                Ok(is_stored) => return is_stored,
                // The server is about to come back, or does not know yet that the connection is gone.
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
    // The one that appended has the group for itself until it is over.
    LockedLogs::lock(&transaction, BTreeSet::from([group])).await?;
    // Another one may have taken the place since, but not at that time.
    let found = events::Entity::find_by_id((group, event.seq))
        .filter(events::Column::CreatedAt.eq(event.at))
        .one(&transaction)
        .await?;
    // Others wait for the group.
    transaction.rollback().await?;
    Ok(found.is_some())
}

impl LockedLogs {
    /// Waits for these groups, and keeps others waiting. Those that do not exist, or not
    /// any more, are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock(
        transaction: &DatabaseTransaction,
        groups: BTreeSet<i64>,
    ) -> Result<Self, DbErr> {
        // SQLite has one writer, and this transaction is it.
        let is_sqlite = transaction.get_database_backend() == DbBackend::Sqlite;
        // In one order everywhere, or two nodes would wait for each other.
        let logs = "SELECT chat_groups.id, head, messages, last_message FROM chat_groups \
                    WHERE id IN (SELECT id FROM input) AND closed_at IS NULL ORDER BY id";
        // All nodes share the clock of PostgreSQL. The time is that at which the lock was granted, so that a
        // later event of a group never has an earlier time.
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
            appended_groups: BTreeSet::new(),
            event_rows: Vec::new(),
            revisions: HashMap::new(),
            deleted_messages: Vec::new(),
            message_edits: BTreeMap::new(),
            read_positions: HashMap::new(),
        })
    }

    /// Gives an event the next place in its group's log. `None` where there is no such group.
    pub fn append(&mut self, event: NewEvent) -> Option<Event> {
        let group = event.group_id;
        let log = self.logs.get_mut(&group)?;
        log.head += 1;
        let seq = log.head;
        let user_id = event.actor.as_ref().map(|author| author.id);
        if event.kind == kind::MESSAGE_CREATED {
            log.messages += 1;
            log.last_message = seq;
            if let Some(user_id) = user_id {
                let place = self.read_positions.entry((group, user_id)).or_default();
                *place = (*place).max((seq, log.messages));
            }
        }
        if let Some(target) = event.target {
            let before = self.revisions.insert((group, target), seq);
            if event.kind == kind::MESSAGE_DELETED {
                self.deleted_messages.push((group, target));
            }
            if event.kind == kind::MESSAGE_EDITED {
                let replaced = self.message_edits.entry((group, target)).or_default();
                replaced.earlier_edits.extend(before);
                replaced.newest_data.clone_from(&event.data);
            }
        }
        self.appended_groups.insert(group);
        self.event_rows.push(EventInsert {
            group_id: group,
            seq,
            kind: event.kind,
            user_id,
            cid: event.cid.clone(),
            data: event.data.clone(),
            messages: log.messages,
            target: event.target,
        });
        Some(Event {
            seq,
            at: self.locked_at,
            by: event.actor.map(|author| author.username),
            kind: event.kind.into(),
            cid: event.cid,
            data: event.data,
        })
    }

    /// Notes that a user has read up to an event, of which it is known how many messages there were
    /// with it, or to the end where there is no such event yet. Gives the last event that was read,
    /// and the time.
    pub fn mark_read(
        &mut self,
        group: i64,
        user: i64,
        seq: i64,
        messages: Option<i64>,
    ) -> Option<(i64, DateTimeWithTimeZone)> {
        let log = self.logs.get(&group)?;
        let (seq, messages) = match messages {
            Some(messages) => (seq, messages),
            None if seq > log.head => (log.head, log.messages),
            None => return None,
        };
        let place = self.read_positions.entry((group, user)).or_default();
        *place = (*place).max((seq, messages));
        Some((seq, self.locked_at))
    }

    /// The first of the locked logs that ends before what was acknowledged.
    #[must_use]
    pub fn find_log_behind(&self, acknowledged: &AcknowledgedHeads) -> Option<LogBehind> {
        acknowledged.find_log_behind(self.logs.values().map(|log| (log.id, log.head)))
    }

    /// Returns how many messages a group has so far.
    pub fn message_count(&self, group: i64) -> Option<i64> {
        Some(self.logs.get(&group)?.messages)
    }

    /// The last event of a group so far, and the time.
    pub fn head(&self, group: i64) -> Option<(i64, DateTimeWithTimeZone)> {
        Some((self.logs.get(&group)?.head, self.locked_at))
    }

    /// Writes down what was pushed. It counts when the transaction is committed.
    ///
    /// # Errors
    /// When the database fails, and when there is an event with the same `cid` by the same user in one
    /// of the groups.
    pub async fn flush(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        self.insert_events(transaction).await?;
        self.update_related_rows(transaction).await
    }

    /// The same, but `false` when there is an event with such a `cid`: the transaction must be rolled
    /// back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn flush_unless_duplicate(
        self,
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

    /// Writes down the events and how long the logs are.
    async fn insert_events(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
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
        let created_at = self.locked_at.to_rfc3339_opts(SecondsFormat::AutoSi, false);
        let rows = self.event_rows.iter();
        bulk_execute(
            transaction,
            &EventInsert::COLUMNS,
            rows.map(|row| row.cells(&created_at)),
            "INSERT INTO events \
             (group_id, seq, kind, user_id, cid, data, created_at, messages, target) \
             SELECT * FROM input",
        )
        .await
    }

    /// Writes down what the events have made of others, and what was read.
    async fn update_related_rows(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        // Before the messages refer to the new edits.
        for ((group, target), replaced) in &self.message_edits {
            replaced
                .redact_replaced_texts(transaction, *group, *target)
                .await?;
        }
        let revisions = self.revisions.iter();
        bulk_execute(
            transaction,
            &[Int("group_id"), Int("seq"), Int("revised")],
            revisions.map(|((group, target), seq)| (group, target, seq)),
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
            positions.map(|((group, user), (seq, messages))| (group, user, seq, messages)),
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
    /// The data of the newest edit.
    newest_data: String,
    /// The edits before it, in the same transaction.
    earlier_edits: Vec<i64>,
}

impl MessageEdits {
    /// Takes the texts that the newest edit replaces out of the log: those of the message and of the edit
    /// before. The message gets the newest text, so that the log replays a whole message. Earlier edits lost
    /// their texts when they were replaced.
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
        events::Entity::update_many()
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Seq.eq(target))
            .filter(events::Column::Kind.eq(kind::MESSAGE_CREATED))
            .col_expr(
                events::Column::Data,
                Expr::value(events::edited_message_data(&message, &self.newest_data)),
            )
            .exec(transaction)
            .await?;
        let edits: Vec<i64> = self.earlier_edits.iter().copied().chain(revised).collect();
        events::Entity::update_many()
            .filter(events::Column::GroupId.eq(group))
            .filter(events::Column::Seq.is_in(edits))
            .filter(events::Column::Kind.eq(kind::MESSAGE_EDITED))
            .col_expr(
                events::Column::Data,
                Expr::value(events::replaced_edit_data(target)),
            )
            .exec(transaction)
            .await?;
        Ok(())
    }
}

/// Takes a message's text out of the log, and out of its edits, and the reactions to it.
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
    of_kind(kind::MESSAGE_CREATED)
        .filter(events::Column::Seq.eq(target))
        .col_expr(
            events::Column::Data,
            Expr::value(events::deleted_message_data()),
        )
        .exec(transaction)
        .await?;
    of_kind(kind::MESSAGE_EDITED)
        .filter(events::Column::Target.eq(target))
        .col_expr(
            events::Column::Data,
            Expr::value(events::deleted_edit_data(target)),
        )
        .exec(transaction)
        .await?;
    reactions::Entity::delete_many()
        .filter(reactions::Column::GroupId.eq(group))
        .filter(reactions::Column::Seq.eq(target))
        .exec(transaction)
        .await?;
    Ok(())
}
