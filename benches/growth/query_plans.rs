//! Prints the plans of the queries that requests wait for.
//!
//! The models run the queries, and this module reads them from the log. So the printed plans are
//! those of the queries that the server runs. PostgreSQL logs the plan of each query. SQLite
//! explains each statement afterwards.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use salam::models::{
    chat_groups,
    events::{self, Actor},
    group_commands::{CommandKind, GroupCommand},
    member_groups::MemberGroup,
    membership_snapshots::MembershipSnapshot,
    memberships,
    messages::{HistoryContent, HistoryWindow, StoredMessage},
    sessions::{self, RefreshId, TokenClaims},
    users,
};
use salam_benches::Result;
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, Statement};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

use crate::{
    engine::{BenchDatabase, Engine},
    fill::query_count,
    print_line,
    size::{DatasetSize, LARGE_GROUP, VISITOR},
};

/// The time until a statement of another thread is in the log.
const LOG_DELAY: Duration = Duration::from_millis(50);

/// The number of rows that a response of a page or two does not need to read.
const MANY_ROWS: u64 = 1000;

/// The logged statements, and the plans that PostgreSQL logs.
#[derive(Clone, Default)]
pub struct QueryLog(Arc<Mutex<Vec<String>>>);

/// Installs the log. Only connections that log their statements appear in it.
pub fn install_query_log() -> Result<QueryLog> {
    let query_log = QueryLog::default();
    let subscriber = tracing_subscriber::registry().with(query_log.clone());
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(query_log)
}

impl<S: Subscriber> Layer<S> for QueryLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let field = match event.metadata().target() {
            "sqlx::query" => "db.statement",
            "sqlx::postgres::notice" => "message",
            _ => return,
        };
        event.record(&mut FieldCollector { field, log: self });
    }
}

impl QueryLog {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self) -> Vec<String> {
        tokio::time::sleep(LOG_DELAY).await;
        std::mem::take(&mut *self.lock())
    }
}

struct FieldCollector<'a> {
    field: &'static str,
    log: &'a QueryLog,
}

impl Visit for FieldCollector<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Statements such as BEGIN are empty here.
        if field.name() == self.field && !value.trim().is_empty() {
            self.log.lock().push(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Prints the plan of each query, and marks each part that reads a whole table.
pub async fn print_plans(
    database: &BenchDatabase,
    size: &DatasetSize,
    query_log: &QueryLog,
) -> Result<()> {
    let db = database.connect_with_logging().await?;
    let explain_db = database.connect().await?;
    let title = database.engine.title();
    print_line(&format!("\n# {title}, {} events: plans", size.events))?;
    let runner = QueryRunner::new(&db, size).await?;
    query_log.take().await;
    for query_kind in QUERY_KINDS {
        runner.run_query(query_kind).await?;
        print_line(&format!("\n## {query_kind:?}"))?;
        for entry in query_log.take().await {
            match database.engine {
                Engine::Postgres => print_postgres_plan(&entry)?,
                Engine::Sqlite => print_sqlite_plan(&explain_db, &entry).await?,
            }
        }
    }
    Ok(())
}

/// Prints a logged plan of PostgreSQL, after its duration.
fn print_postgres_plan(entry: &str) -> Result<()> {
    let Some((duration, plan)) = entry.split_once("Query Text: ") else {
        return Ok(());
    };
    print_line(&format!(
        "   -- {}",
        duration.trim().trim_end_matches("plan:")
    ))?;
    for line in shorten_statement(plan).lines() {
        let mark = if is_full_scan(line) { "!! " } else { "   " };
        print_line(&format!("{mark}{}", line.trim_end()))?;
    }
    Ok(())
}

/// Returns `true` if a step of a plan reads a whole table, or skips many rows.
fn is_full_scan(step: &str) -> bool {
    let removed = step.trim().strip_prefix("Rows Removed by Filter: ");
    let removed = removed.and_then(|rows| rows.parse::<u64>().ok());
    step.contains("Seq Scan on") || removed.is_some_and(|rows| rows >= MANY_ROWS)
}

async fn print_sqlite_plan(db: &DatabaseConnection, statement: &str) -> Result<()> {
    print_line(&format!("   {}", shorten_statement(statement)))?;
    let query = format!("EXPLAIN QUERY PLAN {statement}");
    let query = Statement::from_string(db.get_database_backend(), query);
    for step in db.query_all_raw(query).await? {
        let detail: String = step.try_get("", "detail")?;
        // The input rows of a query appear as the table `input`, or as `item`, the elements of its JSON array.
        let scanned = detail.strip_prefix("SCAN ").unwrap_or("input");
        let is_input = scanned.starts_with("input") || scanned.starts_with("item");
        let is_small = is_input || scanned.contains("CONSTANT ROW");
        let mark = if is_small { "   " } else { "!! " };
        print_line(&format!("{mark}    {detail}"))?;
    }
    Ok(())
}

/// Shortens a list of input rows to its first row.
fn shorten_statement(statement: &str) -> String {
    let parts = statement.split_once("],[").and_then(|(begin, rest)| {
        let (_, end) = rest.split_once("]]")?;
        Some(format!("{begin}],…]{end}"))
    });
    parts.unwrap_or_else(|| statement.to_owned())
}

/// The queries whose plans are printed.
#[derive(Debug, Clone, Copy)]
enum QueryKind {
    NewestPageOfHistory,
    MiddlePageOfHistory,
    EventsAfterSeq,
    ListOfGroups,
    MembershipLookup,
    SessionLookup,
    BatchWithCid,
    MembersOfAGroup,
    HeadsOfActiveGroups,
    NewMembersOfASweep,
    SessionsOfASweep,
    ClosedGroups,
}

const QUERY_KINDS: [QueryKind; 12] = [
    QueryKind::NewestPageOfHistory,
    QueryKind::MiddlePageOfHistory,
    QueryKind::EventsAfterSeq,
    QueryKind::ListOfGroups,
    QueryKind::MembershipLookup,
    QueryKind::SessionLookup,
    QueryKind::BatchWithCid,
    QueryKind::MembersOfAGroup,
    QueryKind::HeadsOfActiveGroups,
    QueryKind::NewMembersOfASweep,
    QueryKind::SessionsOfASweep,
    QueryKind::ClosedGroups,
];

struct QueryRunner<'a> {
    db: &'a DatabaseConnection,
    visitor: users::Model,
    session: TokenClaims,
    middle: i64,
    last_membership: i64,
}

impl<'a> QueryRunner<'a> {
    async fn new(db: &'a DatabaseConnection, size: &DatasetSize) -> Result<Self> {
        let visitor = users::Entity::find_by_id(VISITOR).one(db).await?;
        let sessions = sessions::Model::list(db, VISITOR, 1).await?;
        let last_membership = query_count(db, "SELECT MAX(id) AS n FROM memberships").await?;
        Ok(Self {
            db,
            visitor: visitor.ok_or("the visitor does not exist")?,
            session: TokenClaims {
                user_id: VISITOR,
                session_id: sessions.first().ok_or("no session")?.id,
                generation: 0,
                refresh: RefreshId::for_login(),
            },
            middle: size.large_group_events() / 2,
            last_membership,
        })
    }

    async fn run_query(&self, query_kind: QueryKind) -> Result<()> {
        let db = self.db;
        let page = |window| {
            StoredMessage::find_page(
                db,
                LARGE_GROUP,
                VISITOR,
                window,
                &HistoryContent::Messages,
                50,
            )
        };
        match query_kind {
            QueryKind::NewestPageOfHistory => drop(page(HistoryWindow::Newest).await?),
            QueryKind::MiddlePageOfHistory => drop(page(HistoryWindow::Before(self.middle)).await?),
            QueryKind::EventsAfterSeq => {
                events::Model::list_after(db, LARGE_GROUP, self.middle, 100).await?;
            }
            QueryKind::ListOfGroups => {
                drop(MemberGroup::list(db, &self.visitor, i64::MAX, 50).await?)
            }
            QueryKind::MembershipLookup => {
                let name = format!("chat_{LARGE_GROUP:08x}");
                chat_groups::Model::find_for_member(db, &name, &self.visitor).await?;
                // Sockets look up many memberships at once.
                MembershipSnapshot::find_all(db, [(VISITOR, name.into())].into()).await?;
            }
            QueryKind::SessionLookup => {
                sessions::Model::find_active(db, &self.session).await?;
                sessions::Model::find_all_active(db, [self.session.session_id]).await?;
            }
            QueryKind::BatchWithCid => self.apply_batch().await?,
            QueryKind::MembersOfAGroup => {
                memberships::Model::list(db, LARGE_GROUP, 0, 51).await?;
                memberships::Model::count_members(db, [LARGE_GROUP]).await?;
            }
            QueryKind::HeadsOfActiveGroups => {
                chat_groups::Model::find_heads(db, (1..=10).collect()).await?;
            }
            QueryKind::NewMembersOfASweep => {
                memberships::Model::list_after(db, self.last_membership - 10, 100).await?;
            }
            QueryKind::SessionsOfASweep => {
                sessions::Model::find_all_existing(db, [self.session.session_id]).await?;
            }
            QueryKind::ClosedGroups => chat_groups::Model::purge_deleted(db).await?,
        }
        Ok(())
    }

    /// Applies a batch of one command, with all its lookups.
    async fn apply_batch(&self) -> Result<()> {
        let command = GroupCommand {
            group_id: LARGE_GROUP,
            actor: Some(Actor::from_user(&self.visitor)),
            cid: Some(uuid::Uuid::new_v4().simple().to_string()),
            kind: CommandKind::Send {
                text: "One more.".to_owned(),
                reply_to: Some(1),
            },
        };
        GroupCommand::apply_all(self.db, vec![command]).await?;
        Ok(())
    }
}
