//! Connections to the database: how a pool opens, checks and closes them.
//!
//! [`open_pool`] makes the pool of the app, and [`open_writer_pool`] the connection of the group commit writer.
//! Both connect on first use. So a command that needs no database creates no file and contacts no server.
//!
//! No pool hands out a connection of SQLite that is still inside a transaction.
//!
//! - The driver counts the transactions of a connection. Its count stays at 1 where SQLite has rolled back by
//!   itself, for example after a COMMIT that failed on a full disk.
//! - The driver would then begin the next transaction as a savepoint of a transaction that never commits. Each
//!   later commit would report success and store nothing.
//! - The pool runs [`is_outside_transaction`] whenever a connection is taken or given back, so no caller can forget
//!   the check. The pool closes a connection that fails the check.

pub mod checkpoint;
pub mod clock;
pub mod disk_space;
mod encryption;
mod error;
pub mod sqlite_file;
mod start_wait;
mod timeout;

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use loco_rs::config;
use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError, SqlxPostgresConnector,
    SqlxSqliteConnector,
    sqlx::{
        AssertSqlSafe, ConnectOptions, Connection, Database, Executor, PgPool, Sqlite,
        SqliteConnection, SqlitePool,
        pool::PoolOptions,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode},
    },
};
use tokio::time::timeout;

pub use self::{
    encryption::{Encryption, read_encryption},
    error::{DbErrorKind, Outage, classify},
    start_wait::wait_until_reachable,
    timeout::{DB_TIMEOUT, with_db_timeout},
};

/// The page size of a new file of SQLite, in bytes. A file that exists keeps its own size.
///
/// A commit writes every page that it touches, so small pages allow more commits per second.
const SQLITE_PAGE_BYTES: u32 = 2048;

/// The number of pages in the write-ahead log at which a commit runs a checkpoint: 256 MiB.
///
/// The task in [`checkpoint`] keeps the log far below this limit. The limit is for processes without that task,
/// such as `db seed`.
const AUTOCHECKPOINT_PAGES: &str = "131072";

/// The time that a statement waits for another writer. It is longer than any transaction of this program.
const BUSY_TIMEOUT_PRAGMA: &str = "PRAGMA busy_timeout = 5000";

/// The longest duration of the test of a new connection.
const CONNECTION_TEST_MARGIN: Duration = Duration::from_secs(1);

/// KiB of the file that the writer's connection caches: mostly the ends of indexes.
const WRITER_CACHE_SIZE: &str = "-16384";

/// The idle time after which a connection to PostgreSQL is pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The time that [`close_all_pools`] waits for the connections of one pool.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The parameters of every session on PostgreSQL.
///
/// A node that stops in the middle of a transaction must not stop the other nodes. So a statement waits 3 s for a
/// lock, and an idle transaction ends after 15 s. The compiler (JIT) needs more time for a statement about a large
/// group than the statement itself.
const CONNECTION_PARAMETERS: [(&str, &str); 3] = [
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("jit", "off"),
];

/// The additional parameters of the writer's session.
///
/// PostgreSQL keeps its plans. A plan made while a table was small reads the whole table. With these parameters
/// the session uses the indexes from the beginning.
const WRITER_CONNECTION_PARAMETERS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// The pools that [`close_all_pools`] closes. `None` in a process that does not call [`track_pools`].
static OPEN_POOLS: Mutex<Option<Vec<DatabaseConnection>>> = Mutex::new(None);

/// Makes the pool of a database. The pool connects on first use.
///
/// `uri` is the value of `DATABASE_URL`. The pool runs `run_on_start` on every new connection. PostgreSQL shows
/// `application_name` for each session, unless the URI has another name. The other values come from the framework's
/// configuration.
///
/// # Errors
/// When the URI is invalid.
pub fn open_pool(
    uri: &str,
    run_on_start: Option<&str>,
    config: &config::Database,
    application_name: &str,
) -> Result<DatabaseConnection, DbErr> {
    let acquire = config.acquire_timeout.unwrap_or(config.connect_timeout);
    let db = if uri.starts_with("sqlite:") {
        let mut connect = SqliteConnectOptions::from_str(uri).map_err(connection_error)?;
        let is_file = is_file_database(&connect);
        if is_file {
            connect = connect
                .page_size(SQLITE_PAGE_BYTES)
                .journal_mode(SqliteJournalMode::Wal)
                // SQLite overwrites deleted text with zeros: <https://sqlite.org/pragma.html#pragma_secure_delete>
                .pragma("secure_delete", "ON")
                .pragma("wal_autocheckpoint", AUTOCHECKPOINT_PAGES);
        }
        if !config.enable_logging {
            connect = connect.disable_statement_logging();
        }
        let options = PoolOptions::<Sqlite>::new()
            // Each connection to a database in memory would open a database of its own.
            .max_connections(if is_file { config.max_connections } else { 1 })
            .idle_timeout(is_file.then(|| Duration::from_millis(config.idle_timeout)))
            .max_lifetime(None)
            // No network can break the connection, and a ping costs as much as a query.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_millis(acquire));
        let file = connect.get_filename().to_owned();
        let pool = with_connection_checks(options, file, run_on_start).connect_lazy_with(connect);
        SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
    } else {
        let mut connect = postgres_options(uri)?;
        if connect.get_application_name().is_none() {
            connect = connect.application_name(application_name);
        }
        if !config.enable_logging {
            connect = connect.disable_statement_logging();
        }
        let options = PoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(config.min_connections)
            .idle_timeout(Duration::from_millis(config.idle_timeout))
            .acquire_timeout(Duration::from_millis(acquire));
        let statements = [
            connection_parameters_sql(&connect),
            run_on_start.unwrap_or("").to_owned(),
        ]
        .join(" ");
        let pool = run_on_connect(options, Some(&statements)).connect_lazy_with(connect);
        SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
    };
    Ok(track_pool(db))
}

/// Makes a pool of one connection to the same database, for the group commit writer, which then waits for no
/// reader.
///
/// The connection to a file of SQLite keeps the pages that it has read, as long as no other connection writes.
/// The session on PostgreSQL keeps each plan. Other sessions make a new plan for each length of a list.
///
/// `run_on_start` is the same as for [`open_pool`].
#[must_use]
pub fn open_writer_pool(db: &DatabaseConnection, run_on_start: Option<&str>) -> DatabaseConnection {
    if let Some(pool) = sqlite_file_pool(db) {
        let connect = (*pool.connect_options()).clone();
        let connect = connect
            .pragma("cache_size", WRITER_CACHE_SIZE)
            // The statement journal of a small statement stays in memory anyway. A statement with many rows would
            // write it to a new file each time.
            .pragma("temp_store", "MEMORY");
        // The options include the statements for a new connection, and its checks.
        let pool = single_connection(pool.options()).connect_lazy_with(connect);
        return track_pool(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool));
    }
    if let Some(pool) = postgres_pool(db) {
        let options = single_connection(pool.options())
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        let connect = (*pool.connect_options()).clone();
        let statements = [
            connection_parameters_sql(&connect),
            set_statements(&WRITER_CONNECTION_PARAMETERS),
            run_on_start.unwrap_or("").to_owned(),
        ];
        let pool = run_on_connect(options, Some(&statements.join(" "))).connect_lazy_with(connect);
        return track_pool(SqlxPostgresConnector::from_sqlx_postgres_pool(pool));
    }
    db.clone()
}

/// Returns the name of the database's kind, for operators.
#[must_use]
pub fn kind_name(db: &DatabaseConnection) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Sqlite => "SQLite",
        _ => "PostgreSQL",
    }
}

/// The numbers of connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    /// Open connections that are not in use.
    pub idle: usize,
    /// Open connections that are in use.
    pub used: usize,
    /// The limit of open connections.
    pub max: usize,
}

/// Returns the numbers of connections of a pool.
#[must_use]
pub fn pool_counts(db: &DatabaseConnection) -> PoolCounts {
    let (size, idle, max) = if let Some(pool) = postgres_pool(db) {
        (
            pool.size(),
            pool.num_idle(),
            pool.options().get_max_connections(),
        )
    } else {
        let pool = db.get_sqlite_connection_pool();
        (
            pool.size(),
            pool.num_idle(),
            pool.options().get_max_connections(),
        )
    };
    let to_usize = |count| usize::try_from(count).unwrap_or(usize::MAX);
    PoolCounts {
        idle,
        // The two numbers are not read at the same moment.
        used: to_usize(size).saturating_sub(idle),
        max: to_usize(max),
    }
}

/// Returns the time until the pool has a free connection, at most `limit`. Zero, if the pool has one now or can open
/// one.
pub async fn connection_wait(db: &DatabaseConnection, limit: Duration) -> Duration {
    let counts = pool_counts(db);
    if counts.idle > 0 || counts.used < counts.max {
        return Duration::ZERO;
    }
    let started_at = Instant::now();
    let acquired = async {
        match postgres_pool(db) {
            Some(pool) => drop(pool.acquire().await),
            None => drop(db.get_sqlite_connection_pool().acquire().await),
        }
    };
    // The caller only needs the time, which is `limit` after a timeout.
    let _ = timeout(limit, acquired).await;
    started_at.elapsed()
}

/// Registers all pools that open from now on, so that [`close_all_pools`] closes them at the end of the process.
pub fn track_pools() {
    lock_open_pools().get_or_insert_default();
}

/// Closes all pools, and leaves a complete file of SQLite.
///
/// The write-ahead log is merged into the file and removed, unless another process has the file open.
pub async fn close_all_pools() {
    let pools = lock_open_pools()
        .as_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let mut files: Vec<_> = pools.iter().filter_map(sqlite_file::sqlite_path).collect();
    files.sort();
    files.dedup();
    // This check comes before the last connection closes, because that removes the log.
    files.retain(|file| {
        let is_replaced = sqlite_file::is_replaced(file);
        if is_replaced {
            tracing::error!(
                file = %file.display(),
                "write-ahead log not merged: the database file, its -wal or its -shm was moved, deleted or replaced"
            );
        }
        !is_replaced
    });
    for pool in pools {
        // `close_by_ref` closes the pool even while other handles to it exist.
        if timeout(POOL_CLOSE_TIMEOUT, pool.close_by_ref())
            .await
            .is_err()
        {
            tracing::warn!("some connections to the database did not close in time");
        }
    }
    for file in &files {
        sqlite_file::merge_wal(file).await;
    }
}

/// Returns the options of a connection to PostgreSQL.
///
/// The startup message has no parameter that a pooler refuses: by default, PgBouncer refuses `options` and
/// `extra_float_digits`. The driver reads numbers in their binary form, so it needs no digits. `options=` without
/// a value, which older versions required for poolers, has no effect.
///
/// # Errors
/// When the URI is invalid.
pub(crate) fn postgres_options(uri: &str) -> Result<PgConnectOptions, DbErr> {
    let mut url = url::Url::parse(uri)
        .map_err(|error| connection_error(SqlxError::Configuration(error.into())))?;
    let is_options = |name: &str| name == "options" || name.starts_with("options[");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let kept: Vec<_> = pairs
        .iter()
        .filter(|(name, value)| !(is_options(name) && value.is_empty()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    let options = PgConnectOptions::from_str(url.as_str()).map_err(connection_error)?;
    Ok(options.extra_float_digits(None))
}

/// Returns the statements of [`CONNECTION_PARAMETERS`]. `options` in the URI replace them.
fn connection_parameters_sql(connect: &PgConnectOptions) -> String {
    match connect.get_options() {
        Some(_) => String::new(),
        None => set_statements(&CONNECTION_PARAMETERS),
    }
}

fn connection_error(error: SqlxError) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}

fn set_statements(parameters: &[(&str, &str)]) -> String {
    let set = |(name, value): &(&str, &str)| format!("SET {name} = '{value}';");
    parameters.iter().map(set).collect()
}

/// Adds statements that the pool runs on every new connection.
fn run_on_connect<DB>(options: PoolOptions<DB>, statements: Option<&str>) -> PoolOptions<DB>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let Some(statements) = statements.filter(|text| !text.trim().is_empty()) else {
        return options;
    };
    let statements = statements.to_owned();
    options.after_connect(move |connection, _| {
        let statements = statements.clone();
        Box::pin(async move {
            connection.execute(AssertSqlSafe(statements)).await?;
            Ok(())
        })
    })
}

/// Adds the checks of a connection to a file of SQLite.
///
/// A new connection must be able to write if the file is writable. A connection that is taken or given back must
/// be outside a transaction.
fn with_connection_checks(
    options: PoolOptions<Sqlite>,
    file: PathBuf,
    run_on_start: Option<&str>,
) -> PoolOptions<Sqlite> {
    let statements = run_on_start.unwrap_or("").to_owned();
    let read_only = ReadOnlyTracker::default();
    let acquire_tracker = read_only.clone();
    options
        .after_connect(move |connection, _| {
            let (statements, read_only) = (statements.clone(), read_only.clone());
            let is_replaced = sqlite_file::is_replaced(&file);
            Box::pin(async move {
                if is_replaced {
                    // The connection would mix two databases. The other connections keep the file that they have open.
                    return Err(SqlxError::Protocol("the file was replaced".to_owned()));
                }
                if !statements.trim().is_empty() {
                    connection.execute(AssertSqlSafe(statements)).await?;
                }
                read_only.test_connection(connection).await
            })
        })
        .after_release(|connection, _| Box::pin(is_outside_transaction(connection)))
        .before_acquire(move |connection, metadata| {
            let is_stale = acquire_tracker.is_stale(metadata.age);
            Box::pin(async move { Ok(!is_stale && is_outside_transaction(connection).await?) })
        })
}

/// The last time at which a connection of a pool was read-only.
///
/// SQLite opens a file that it cannot write for reading. Such a connection stays read-only when the file becomes
/// writable again. So the pool replaces all connections from before this time when they are taken.
#[derive(Clone, Default)]
struct ReadOnlyTracker(Arc<Mutex<Option<Instant>>>);

impl ReadOnlyTracker {
    /// Tests a new connection by a transaction that writes nothing.
    ///
    /// The test does not wait for other writers: a connection that has to wait can write.
    async fn test_connection(&self, connection: &mut SqliteConnection) -> Result<(), SqlxError> {
        connection.execute("PRAGMA busy_timeout = 0").await?;
        let begin_result = connection.execute("BEGIN IMMEDIATE").await;
        if begin_result.is_ok() {
            connection.execute("ROLLBACK").await?;
        }
        connection.execute(BUSY_TIMEOUT_PRAGMA).await?;
        if let Err(error) = begin_result
            && classify(&connection_error(error)) == DbErrorKind::Unavailable(Outage::ReadOnly)
        {
            *self.last_seen() = Some(Instant::now());
        }
        Ok(())
    }

    /// Returns whether a connection of this age existed when another connection was read-only.
    ///
    /// The age counts from the end of the connection's own test. So a connection also counts as stale if the pool
    /// got it within [`CONNECTION_TEST_MARGIN`] after that time.
    fn is_stale(&self, age: Duration) -> bool {
        self.last_seen()
            .is_some_and(|last| last.elapsed() <= age + CONNECTION_TEST_MARGIN)
    }

    fn last_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a connection is outside a transaction. The common case costs an atomic read.
async fn is_outside_transaction(connection: &mut SqliteConnection) -> Result<bool, SqlxError> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // A dropped transaction rolls back in the connection's own thread. The ping waits for the rollback.
    connection.ping().await?;
    let is_inside = connection.is_in_transaction();
    if is_inside {
        tracing::warn!("closing a database connection: its transaction cannot be ended");
    }
    Ok(!is_inside)
}

/// Returns the same options for a pool of one connection.
fn single_connection<DB: Database>(options: &PoolOptions<DB>) -> PoolOptions<DB> {
    options.clone().min_connections(0).max_connections(1)
}

/// Returns the pool of a file of SQLite; `None` for a database in memory, and for PostgreSQL.
fn sqlite_file_pool(db: &DatabaseConnection) -> Option<&SqlitePool> {
    if db.get_database_backend() != DbBackend::Sqlite {
        return None;
    }
    let pool = db.get_sqlite_connection_pool();
    is_file_database(&pool.connect_options()).then_some(pool)
}

/// Returns the pool of PostgreSQL; `None` for SQLite.
fn postgres_pool(db: &DatabaseConnection) -> Option<&PgPool> {
    let is_postgres = db.get_database_backend() == DbBackend::Postgres;
    is_postgres.then(|| db.get_postgres_connection_pool())
}

fn is_file_database(options: &SqliteConnectOptions) -> bool {
    let name = options.get_filename().to_string_lossy();
    !name.contains(":memory:") && !name.starts_with("file:")
}

fn track_pool(db: DatabaseConnection) -> DatabaseConnection {
    if let Some(pools) = lock_open_pools().as_mut() {
        pools.push(db.clone());
    }
    db
}

fn lock_open_pools() -> MutexGuard<'static, Option<Vec<DatabaseConnection>>> {
    // A panic in another thread leaves the list as it was between two pushes.
    OPEN_POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}
