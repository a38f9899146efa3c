//! The databases that Salam runs on, each as a server's own: made for this, and gone afterwards.

use std::sync::Arc;

use clap::ValueEnum;
use salam_benches::{Result, event_log, node::Installation, stores::Stores};
use sea_orm::{ConnectOptions, ConnectionTrait, Database as Connector, DatabaseConnection};

/// Connections that it takes to migrate a PostgreSQL: one holds the lock.
const MIGRATION_CONNECTIONS: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A migrated database.
pub struct BenchDatabase {
    pub engine: Engine,
    pub installation: Arc<Installation>,
}

impl Engine {
    pub const fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// SQL for a table `n` of the whole numbers `i` from one to another, both included.
    pub fn numbers_table(self, from: i64, to: i64) -> String {
        match self {
            Self::Sqlite => format!(
                "(WITH RECURSIVE counted(i) AS (SELECT {from} UNION ALL \
                 SELECT i + 1 FROM counted WHERE i < {to}) SELECT i FROM counted) AS n"
            ),
            Self::Postgres => format!("generate_series({from}::bigint, {to}::bigint) AS n(i)"),
        }
    }

    /// SQL for the time so many seconds ago, as the server writes it.
    pub fn seconds_ago(self, seconds: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', (-({seconds})) || ' seconds')")
            }
            Self::Postgres => format!("now() - make_interval(secs => {seconds})"),
        }
    }

    /// SQL for a random UUID.
    pub const fn random_uuid(self) -> &'static str {
        match self {
            Self::Sqlite => "randomblob(16)",
            Self::Postgres => "gen_random_uuid()",
        }
    }

    /// SQL for the name of a group with this number.
    pub fn group_name_sql(self, number: &str) -> String {
        match self {
            Self::Sqlite => format!("printf('chat_%08x', {number})"),
            Self::Postgres => format!("'chat_' || lpad(to_hex({number}), 8, '0')"),
        }
    }

    /// SQL for an id as clients make them.
    pub const fn random_cid(self) -> &'static str {
        match self {
            Self::Sqlite => "lower(hex(randomblob(16)))",
            Self::Postgres => "replace(gen_random_uuid()::text, '-', '')",
        }
    }

    /// What makes a connection fast that nobody relies on: of a crash while the database is being made
    /// nothing is to be kept, and what refers to what is known to be there.
    const fn fast_write_statements(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA journal_mode = OFF",
                "PRAGMA synchronous = OFF",
                "PRAGMA foreign_keys = OFF",
                "PRAGMA cache_size = -2000000",
            ],
            Self::Postgres => &[
                "SET synchronous_commit = off",
                "SET session_replication_role = replica",
            ],
        }
    }

    /// What a server of this kind does by itself after some time.
    pub const fn maintenance(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("VACUUM ANALYZE"),
        }
    }

    /// SQL for the bytes that the database takes.
    pub const fn database_size(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT page_count * page_size AS n FROM pragma_page_count, pragma_page_size"
            }
            Self::Postgres => "SELECT pg_database_size(current_database()) AS n",
        }
    }
}

impl BenchDatabase {
    /// # Errors
    /// It cannot be made, or is one of stores that do not run.
    pub async fn create(engine: Engine, stores: Option<&Stores>) -> Result<Self> {
        let place = match engine {
            Engine::Sqlite => Installation::sqlite()?,
            Engine::Postgres => {
                let place = stores
                    .ok_or("PostgreSQL does not run")?
                    .create_installation()?;
                Arc::new(Installation {
                    database_url: place.database_url.clone(),
                    // One node alone has nobody to tell.
                    redis_url: String::new(),
                    folder: None,
                })
            }
        };
        let db = event_log::open_migrated(&place.database_url, MIGRATION_CONNECTIONS).await?;
        db.close().await?;
        Ok(Self {
            engine,
            installation: place,
        })
    }

    /// # Errors
    /// The database fails.
    pub async fn connect(&self) -> Result<DatabaseConnection> {
        self.connect_with(MIGRATION_CONNECTIONS).await
    }

    /// One connection, of which nobody relies on what it writes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn connect_for_fast_writes(&self) -> Result<DatabaseConnection> {
        let db = self.connect_with(1).await?;
        for statement in self.engine.fast_write_statements() {
            db.execute_unprepared(statement).await?;
        }
        Ok(db)
    }

    async fn connect_with(&self, connections: u32) -> Result<DatabaseConnection> {
        let mut options = ConnectOptions::new(&self.installation.database_url);
        options.max_connections(connections).sqlx_logging(false);
        Ok(Connector::connect(options).await?)
    }

    /// A connection that says what it is asked; PostgreSQL also how it goes about it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn connect_with_logging(&self) -> Result<DatabaseConnection> {
        let aloud = match self.engine {
            Engine::Sqlite => "",
            Engine::Postgres => {
                "?options[session_preload_libraries]=auto_explain\
                 &options[auto_explain.log_min_duration]=0&options[auto_explain.log_level]=notice\
                 &options[auto_explain.log_analyze]=on"
            }
        };
        let mut options = ConnectOptions::new(format!("{}{aloud}", self.installation.database_url));
        options.max_connections(1).sqlx_logging(true);
        Ok(Connector::connect(options).await?)
    }
}
