//! How a database goes about what requests wait for. The queries are those that the models make, heard
//! as they are made, so that what is shown here is what runs.
//!
//! PostgreSQL explains itself each plan that it uses; SQLite is asked about each statement afterwards.

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

/// Until what a statement is heard to be has come from the thread that runs it.
const LOG_DELAY: Duration = Duration::from_millis(50);

/// Rows that an answer of a page or two has no need to read.
const MANY_ROWS: u64 = 1000;

/// What was heard and not looked at yet: statements, and plans that PostgreSQL tells.
#[derive(Clone, Default)]
pub struct QueryLog(Arc<Mutex<Vec<String>>>);

/// Begins to listen. Only connections that log are heard.
pub fn install_query_log() -> Result<QueryLog> {
    let spoken = QueryLog::default();
    let subscriber = tracing_subscriber::registry().with(spoken.clone());
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(spoken)
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
        // BEGIN and the like are empty here.
        if field.name() == self.field && !value.trim().is_empty() {
            self.log.lock().push(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Prints the plan of each query, and a mark beside each part of it that goes through a whole table.
pub async fn print_plans(
    database: &BenchDatabase,
    size: &DatasetSize,
    spoken: &QueryLog,
) -> Result<()> {
    let db = database.connect_with_logging().await?;
    let quiet = database.connect().await?;
    let title = database.engine.title();
    print_line(&format!("\n# {title}, {} events: plans", size.events))?;
    let asker = QueryRunner::new(&db, size).await?;
    spoken.take().await;
    for question in QUERY_KINDS {
        asker.run_query(question).await?;
        print_line(&format!("\n## {question:?}"))?;
        for heard in spoken.take().await {
            match database.engine {
                Engine::Postgres => print_postgres_plan(&heard)?,
                Engine::Sqlite => print_sqlite_plan(&quiet, &heard).await?,
            }
        }
    }
    Ok(())
}

/// A plan as PostgreSQL tells it, after what it took.
fn print_postgres_plan(heard: &str) -> Result<()> {
    let Some((took, plan)) = heard.split_once("Query Text: ") else {
        return Ok(());
    };
    print_line(&format!("   -- {}", took.trim().trim_end_matches("plan:")))?;
    for line in shorten_statement(plan).lines() {
        let mark = if is_full_scan(line) { "!! " } else { "   " };
        print_line(&format!("{mark}{}", line.trim_end()))?;
    }
    Ok(())
}

/// Whether a step of a plan reads a whole table, or walks by much that is not wanted.
fn is_full_scan(step: &str) -> bool {
    let removed = step.trim().strip_prefix("Rows Removed by Filter: ");
    let removed = removed.and_then(|rows| rows.parse::<u64>().ok());
    step.contains("Seq Scan on") || removed.is_some_and(|rows| rows >= MANY_ROWS)
}

async fn print_sqlite_plan(db: &DatabaseConnection, statement: &str) -> Result<()> {
    print_line(&format!("   {}", shorten_statement(statement)))?;
    let asked = format!("EXPLAIN QUERY PLAN {statement}");
    let asked = Statement::from_string(db.get_database_backend(), asked);
    for step in db.query_all_raw(asked).await? {
        let detail: String = step.try_get("", "detail")?;
        // What is asked about comes as a table of its own.
        let scanned = detail.strip_prefix("SCAN ").unwrap_or("asked");
        let is_small = scanned.starts_with("asked") || scanned.contains("CONSTANT ROW");
        let mark = if is_small { "   " } else { "!! " };
        print_line(&format!("{mark}    {detail}"))?;
    }
    Ok(())
}

/// Of many rows that are asked about, one is enough to read.
fn shorten_statement(statement: &str) -> String {
    let parts = statement.split_once("),(").and_then(|(begin, rest)| {
        let (_, end) = rest.split_once(")) ")?;
        Some(format!("{begin}),…) {end}"))
    });
    parts.unwrap_or_else(|| statement.to_owned())
}

/// What is looked at.
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
        let memberships = query_count(db, "SELECT MAX(id) AS n FROM memberships").await?;
        Ok(Self {
            db,
            visitor: visitor.ok_or("nobody is here")?,
            session: TokenClaims {
                user_id: VISITOR,
                session_id: sessions.first().ok_or("no session")?.id,
                generation: 0,
                refresh: RefreshId::for_login(),
            },
            middle: size.large_group_events() / 2,
            last_membership: memberships,
        })
    }

    async fn run_query(&self, question: QueryKind) -> Result<()> {
        let db = self.db;
        let page = |window| {
            StoredMessage::find_page(
                db,
                LARGE_GROUP,
                VISITOR,
                window,
                HistoryContent::Messages,
                50,
            )
        };
        match question {
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
                // And for a socket, of which many are looked up at once.
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

    /// A batch of one change, with everything that is looked up for it.
    async fn apply_batch(&self) -> Result<()> {
        let change = GroupCommand {
            group_id: LARGE_GROUP,
            actor: Some(Actor::from_user(&self.visitor)),
            cid: Some(uuid::Uuid::new_v4().simple().to_string()),
            kind: CommandKind::Send {
                text: "One more.".to_owned(),
                reply_to: Some(1),
            },
        };
        GroupCommand::apply_all(self.db, vec![change]).await?;
        Ok(())
    }
}
