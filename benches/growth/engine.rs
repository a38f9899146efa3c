//! The databases that Salam runs on. Each benchmark creates a database and deletes it afterwards.

use std::sync::Arc;

use clap::ValueEnum;
use salam_benches::{Result, event_log, node::Installation, stores::Stores};
use sea_orm::{ConnectOptions, ConnectionTrait, Database as Connector, DatabaseConnection};

/// The connections that a migration of PostgreSQL needs: one of them holds the lock.
const MIGRATION_CONNECTIONS: u32 = 2;

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A migrated database of its own.
pub struct BenchDatabase {
    pub engine: Engine,
    pub installation: Arc<Installation>,
}

impl Engine {
    /// The name of the database product.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Returns SQL for a table `n` of the integers `i` between two bounds, both included.
    pub fn numbers_table(self, from: i64, to: i64) -> String {
        match self {
            Self::Sqlite => format!(
                "(WITH RECURSIVE counted(i) AS (SELECT {from} UNION ALL \
                 SELECT i + 1 FROM counted WHERE i < {to}) SELECT i FROM counted) AS n"
            ),
            Self::Postgres => format!("generate_series({from}::bigint, {to}::bigint) AS n(i)"),
        }
    }

    /// Returns SQL for a time some seconds ago, in the server's format.
    pub fn seconds_ago(self, seconds: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', (-({seconds})) || ' seconds')")
            }
            Self::Postgres => format!("now() - make_interval(secs => {seconds})"),
        }
    }

    /// Returns SQL for a random UUID.
    pub const fn random_uuid(self) -> &'static str {
        match self {
            Self::Sqlite => "randomblob(16)",
            Self::Postgres => "gen_random_uuid()",
        }
    }

    /// Returns SQL for the name of the group with a number.
    pub fn group_name_sql(self, number: &str) -> String {
        match self {
            Self::Sqlite => format!("printf('chat_%08x', {number})"),
            Self::Postgres => format!("'chat_' || lpad(to_hex({number}), 8, '0')"),
        }
    }

    /// Returns SQL for a random cid, in the format of clients.
    pub const fn random_cid(self) -> &'static str {
        match self {
            Self::Sqlite => "lower(hex(randomblob(16)))",
            Self::Postgres => "replace(gen_random_uuid()::text, '-', '')",
        }
    }

    /// Returns statements that make writes fast and unsafe, for a database that is still being
    /// filled.
    ///
    /// A crash may lose everything that was written. References are known to be valid.
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

    /// Returns the maintenance that a server of this kind runs by itself after some time.
    pub const fn maintenance(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("VACUUM ANALYZE"),
        }
    }

    /// Returns SQL for the size of the database in bytes.
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
    /// Creates a migrated database.
    ///
    /// # Errors
    /// When the database cannot be created, or when PostgreSQL does not run.
    pub async fn create(engine: Engine, stores: Option<&Stores>) -> Result<Self> {
        let installation = match engine {
            Engine::Sqlite => Installation::sqlite()?,
            Engine::Postgres => {
                let installation = stores
                    .ok_or("PostgreSQL does not run")?
                    .create_installation()?;
                Arc::new(Installation {
                    database_url: installation.database_url.clone(),
                    // A single node publishes to no other node.
                    redis_url: String::new(),
                    folder: None,
                })
            }
        };
        let db =
            event_log::open_migrated(&installation.database_url, MIGRATION_CONNECTIONS).await?;
        db.close().await?;
        Ok(Self {
            engine,
            installation,
        })
    }

    /// Opens a pool of connections.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connect(&self) -> Result<DatabaseConnection> {
        self.connect_with(MIGRATION_CONNECTIONS).await
    }

    /// Opens one connection for fast writes, whose content a crash may lose.
    ///
    /// # Errors
    /// When the database fails.
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

    /// Opens a connection that logs its statements. PostgreSQL also logs their plans.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connect_with_logging(&self) -> Result<DatabaseConnection> {
        let log_options = match self.engine {
            Engine::Sqlite => "",
            Engine::Postgres => {
                "?options[session_preload_libraries]=auto_explain\
                 &options[auto_explain.log_min_duration]=0&options[auto_explain.log_level]=notice\
                 &options[auto_explain.log_analyze]=on"
            }
        };
        let mut options =
            ConnectOptions::new(format!("{}{log_options}", self.installation.database_url));
        options.max_connections(1).sqlx_logging(true);
        Ok(Connector::connect(options).await?)
    }
}
