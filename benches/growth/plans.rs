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
    changes::{Change, What},
    chat_groups,
    events::{self, Author},
    memberships,
    messages::{Content, Message, Window},
    mine::Mine,
    sessions::{self, Claimed, RefreshId},
    standings::Standing,
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
    engine::{Database, Engine},
    fill::count,
    print,
    size::{LARGE_GROUP, Size, VISITOR},
};

/// Until what a statement is heard to be has come from the thread that runs it.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

/// Rows that an answer of a page or two has no need to read.
const MANY: u64 = 1000;

/// What was heard and not looked at yet: statements, and plans that PostgreSQL tells.
#[derive(Clone, Default)]
pub struct Spoken(Arc<Mutex<Vec<String>>>);

/// Begins to listen. Only connections that log are heard.
pub fn listen() -> Result<Spoken> {
    let spoken = Spoken::default();
    let subscriber = tracing_subscriber::registry().with(spoken.clone());
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(spoken)
}

impl<S: Subscriber> Layer<S> for Spoken {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let field = match event.metadata().target() {
            "sqlx::query" => "db.statement",
            "sqlx::postgres::notice" => "message",
            _ => return,
        };
        event.record(&mut Hearing { field, to: self });
    }
}

impl Spoken {
    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self) -> Vec<String> {
        tokio::time::sleep(HEARD_WITHIN).await;
        std::mem::take(&mut *self.all())
    }
}

struct Hearing<'a> {
    field: &'static str,
    to: &'a Spoken,
}

impl Visit for Hearing<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // BEGIN and the like are empty here.
        if field.name() == self.field && !value.trim().is_empty() {
            self.to.all().push(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Prints the plan of each query, and a mark beside each part of it that goes through a whole table.
pub async fn show(database: &Database, size: &Size, spoken: &Spoken) -> Result<()> {
    let db = database.connect_aloud().await?;
    let quiet = database.connect().await?;
    let title = database.engine.title();
    print(&format!("\n# {title}, {} events: plans", size.events))?;
    let asker = Asker::new(&db, size).await?;
    spoken.take().await;
    for question in QUESTIONS {
        asker.ask(question).await?;
        print(&format!("\n## {question:?}"))?;
        for heard in spoken.take().await {
            match database.engine {
                Engine::Postgres => show_told(&heard)?,
                Engine::Sqlite => show_asked(&quiet, &heard).await?,
            }
        }
    }
    Ok(())
}

/// A plan as PostgreSQL tells it, after what it took.
fn show_told(heard: &str) -> Result<()> {
    let Some((took, plan)) = heard.split_once("Query Text: ") else {
        return Ok(());
    };
    print(&format!("   -- {}", took.trim().trim_end_matches("plan:")))?;
    for line in shortened(plan).lines() {
        let mark = if is_long(line) { "!! " } else { "   " };
        print(&format!("{mark}{}", line.trim_end()))?;
    }
    Ok(())
}

/// Whether a step of a plan reads a whole table, or walks by much that is not wanted.
fn is_long(step: &str) -> bool {
    let removed = step.trim().strip_prefix("Rows Removed by Filter: ");
    let removed = removed.and_then(|rows| rows.parse::<u64>().ok());
    step.contains("Seq Scan on") || removed.is_some_and(|rows| rows >= MANY)
}

async fn show_asked(db: &DatabaseConnection, statement: &str) -> Result<()> {
    print(&format!("   {}", shortened(statement)))?;
    let asked = format!("EXPLAIN QUERY PLAN {statement}");
    let asked = Statement::from_string(db.get_database_backend(), asked);
    for step in db.query_all_raw(asked).await? {
        let detail: String = step.try_get("", "detail")?;
        // What is asked about comes as a table of its own.
        let scanned = detail.strip_prefix("SCAN ").unwrap_or("asked");
        let is_small = scanned.starts_with("asked") || scanned.contains("CONSTANT ROW");
        let mark = if is_small { "   " } else { "!! " };
        print(&format!("{mark}    {detail}"))?;
    }
    Ok(())
}

/// Of many rows that are asked about, one is enough to read.
fn shortened(statement: &str) -> String {
    let parts = statement.split_once("),(").and_then(|(begin, rest)| {
        let (_, end) = rest.split_once(")) ")?;
        Some(format!("{begin}),…) {end}"))
    });
    parts.unwrap_or_else(|| statement.to_owned())
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
enum Question {
    NewestPageOfHistory,
    PageInTheMiddle,
    EventsAfterOne,
    ListOfGroups,
    MembershipAtTheDoor,
    SessionAtTheDoor,
    BatchWithACid,
    MembersOfAGroup,
    HeadsOfActiveGroups,
    NewcomersOfASweep,
    SessionsOfASweep,
    ClosedGroups,
}

const QUESTIONS: [Question; 12] = [
    Question::NewestPageOfHistory,
    Question::PageInTheMiddle,
    Question::EventsAfterOne,
    Question::ListOfGroups,
    Question::MembershipAtTheDoor,
    Question::SessionAtTheDoor,
    Question::BatchWithACid,
    Question::MembersOfAGroup,
    Question::HeadsOfActiveGroups,
    Question::NewcomersOfASweep,
    Question::SessionsOfASweep,
    Question::ClosedGroups,
];

struct Asker<'a> {
    db: &'a DatabaseConnection,
    visitor: users::Model,
    session: Claimed,
    middle: i64,
    last_membership: i64,
}

impl<'a> Asker<'a> {
    async fn new(db: &'a DatabaseConnection, size: &Size) -> Result<Self> {
        let visitor = users::Entity::find_by_id(VISITOR).one(db).await?;
        let sessions = sessions::Model::list(db, VISITOR, 1).await?;
        let memberships = count(db, "SELECT MAX(id) AS n FROM memberships").await?;
        Ok(Self {
            db,
            visitor: visitor.ok_or("nobody is here")?,
            session: Claimed {
                user_id: VISITOR,
                session_id: sessions.first().ok_or("no session")?.id,
                generation: 0,
                refresh: RefreshId::first(),
            },
            middle: size.large() / 2,
            last_membership: memberships,
        })
    }

    async fn ask(&self, question: Question) -> Result<()> {
        let db = self.db;
        let page = |window| Message::page(db, LARGE_GROUP, VISITOR, window, Content::Messages, 50);
        match question {
            Question::NewestPageOfHistory => drop(page(Window::Newest).await?),
            Question::PageInTheMiddle => drop(page(Window::Before(self.middle)).await?),
            Question::EventsAfterOne => {
                events::Model::after(db, LARGE_GROUP, self.middle, 100).await?;
            }
            Question::ListOfGroups => drop(Mine::list(db, &self.visitor, i64::MAX, 50).await?),
            Question::MembershipAtTheDoor => {
                let name = format!("chat_{LARGE_GROUP:08x}");
                chat_groups::Model::find_for_member(db, &name, &self.visitor).await?;
                // And for a socket, of which many are looked up at once.
                Standing::find_all(db, [(VISITOR, name.into())].into()).await?;
            }
            Question::SessionAtTheDoor => {
                sessions::Model::find_live(db, &self.session).await?;
                sessions::Model::find_all_live(db, [self.session.session_id]).await?;
            }
            Question::BatchWithACid => self.change().await?,
            Question::MembersOfAGroup => {
                memberships::Model::list(db, LARGE_GROUP, 0, 51).await?;
                memberships::Model::count(db, [LARGE_GROUP]).await?;
            }
            Question::HeadsOfActiveGroups => {
                chat_groups::Model::heads(db, (1..=10).collect()).await?;
            }
            Question::NewcomersOfASweep => {
                memberships::Model::after(db, self.last_membership - 10, 100).await?;
            }
            Question::SessionsOfASweep => {
                sessions::Model::which_live(db, [self.session.session_id]).await?;
            }
            Question::ClosedGroups => chat_groups::Model::purge_closed(db).await?,
        }
        Ok(())
    }

    /// A batch of one change, with everything that is looked up for it.
    async fn change(&self) -> Result<()> {
        let change = Change {
            group_id: LARGE_GROUP,
            author: Some(Author::of(&self.visitor)),
            cid: Some(uuid::Uuid::new_v4().simple().to_string()),
            what: What::Send {
                text: "One more.".to_owned(),
                reply_to: Some(1),
            },
        };
        Change::make(self.db, vec![change]).await?;
        Ok(())
    }
}
