//! Connections to the database: how they are opened, checked before each use, and closed.
//!
//! [`open`] makes the pool of the app, and [`open_writer_pool`] the connection of the group commit writer. Both
//! connect on first use: a command that needs no database creates no file and asks no server.
//!
//! No pool hands out a connection of SQLite that is still inside a transaction. The driver counts the
//! transactions of a connection, and its count stays at 1 where SQLite has rolled back by itself: after a
//! COMMIT that failed on a full disk, for example. The driver would then begin the next transaction as a
//! savepoint of one that never commits, and each later commit would report success and store nothing.
//! [`is_outside_transaction`] is asked whenever a connection goes back to a pool and whenever it is taken, so
//! no caller can forget it; a connection that fails the test is closed.

pub mod checkpoint;
pub mod clock;
mod error;
pub mod sqlite_file;

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

pub use self::error::{DbErrorKind, Outage, classify};

/// Bytes of a page of a new file of SQLite. A commit writes every page that it touches, so small pages make
/// more commits a second. A file that exists keeps its own size.
const SQLITE_PAGE_BYTES: u32 = 2048;

/// Pages in the write-ahead log from which a commit checkpoints by itself: 256 MiB. The task in
/// [`checkpoint`] keeps the log far below. This is for processes without that task, such as `db seed`.
const AUTOCHECKPOINT_PAGES: &str = "131072";

/// How long a statement waits for another writer. Longer than any transaction of this program.
const BUSY_TIMEOUT_PRAGMA: &str = "PRAGMA busy_timeout = 5000";

/// How long the test of a new connection takes at most.
const CONNECTION_TEST_MARGIN: Duration = Duration::from_secs(1);

/// KiB of the file that the writer's connection keeps in memory: mostly the ends of indices.
const WRITER_CACHE_SIZE: &str = "-16384";

/// How long a connection to PostgreSQL may be idle before it is pinged when it is taken.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How long [`close_all_pools`] waits for the connections of one pool.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What every session on PostgreSQL begins with. A node that stops in the middle of a transaction must not
/// stop the others, so a statement waits 3 s for a lock and an idle transaction ends after 15 s. The compiler
/// (JIT) takes longer for a statement about a large group than the statement does.
const CONNECTION_PARAMETERS: [(&str, &str); 3] = [
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("jit", "off"),
];

/// What the writer's session has besides. PostgreSQL keeps its plans, also those that it made when a table
/// was small and that read all of it; this session goes by the indices from the beginning.
const WRITER_CONNECTION_PARAMETERS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// The pools that [`close_all_pools`] closes. `None` where nobody is going to call it.
static OPEN_POOLS: Mutex<Option<Vec<DatabaseConnection>>> = Mutex::new(None);

/// Makes the pool of a database. It connects on first use.
///
/// `uri` is that of `DATABASE_URL`; `run_on_start` is run on every new connection. The other values are those
/// of the framework's configuration.
///
/// # Errors
/// When the URI cannot be read.
pub fn open_pool(
    uri: &str,
    run_on_start: Option<&str>,
    config: &config::Database,
) -> Result<DatabaseConnection, DbErr> {
    let acquire = config.acquire_timeout.unwrap_or(config.connect_timeout);
    let db = if uri.starts_with("sqlite:") {
        let mut connect = SqliteConnectOptions::from_str(uri).map_err(connection_error)?;
        let is_file = is_file_database(&connect);
        if is_file {
            connect = connect
                .page_size(SQLITE_PAGE_BYTES)
                .journal_mode(SqliteJournalMode::Wal)
                // A deleted text is overwritten with zeros: <https://sqlite.org/pragma.html#pragma_secure_delete>
                .pragma("secure_delete", "ON")
                .pragma("wal_autocheckpoint", AUTOCHECKPOINT_PAGES);
        }
        if !config.enable_logging {
            connect = connect.disable_statement_logging();
        }
        let options = PoolOptions::<Sqlite>::new()
            // Each connection to a database in memory would be to another database.
            .max_connections(if is_file { config.max_connections } else { 1 })
            .idle_timeout(is_file.then(|| Duration::from_millis(config.idle_timeout)))
            .max_lifetime(None)
            // No network lies in between that could have broken the connection, and a ping costs as much as a
            // query.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_millis(acquire));
        let file = connect.get_filename().to_owned();
        let pool = with_connection_checks(options, file, run_on_start).connect_lazy_with(connect);
        SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
    } else {
        let mut connect = postgres_options(uri)?;
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

/// A pool of one connection to the same database, for the group commit writer: it waits for no reader.
///
/// The connection to a file of SQLite keeps the pages that it has read as long as nobody else writes. The
/// session on PostgreSQL keeps each plan, while other sessions make a new plan for each length of a list.
///
/// `run_on_start` is that of [`open`].
#[must_use]
pub fn open_writer_pool(db: &DatabaseConnection, run_on_start: Option<&str>) -> DatabaseConnection {
    if let Some(pool) = sqlite_file_pool(db) {
        let connect = (*pool.connect_options()).clone();
        let connect = connect
            .pragma("cache_size", WRITER_CACHE_SIZE)
            // The statement journal of a small statement stays in memory anyway, while many rows at once
            // would make a file of it, for each statement.
            .pragma("temp_store", "MEMORY");
        // With what is run on a new connection, and the tests of it.
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

/// Has [`close_all_pools`] find the pools that are opened from now on. For a process that ends with them.
pub fn track_pools() {
    lock_open_pools().get_or_insert_default();
}

/// Closes all pools, and leaves a file of SQLite that is whole by itself: its write-ahead log is brought
/// into the file and removed, unless another process has the file open.
pub async fn close_all_pools() {
    let pools = lock_open_pools()
        .as_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let mut files: Vec<_> = pools.iter().filter_map(sqlite_file::sqlite_path).collect();
    files.sort();
    files.dedup();
    // Before the last connection closes, which removes the log.
    files.retain(|file| {
        let is_replaced = sqlite_file::is_replaced(file);
        if is_replaced {
            tracing::error!(
                file = %file.display(),
                "the file, its -wal or its -shm was moved, deleted or replaced: nothing is brought into it"
            );
        }
        !is_replaced
    });
    for pool in pools {
        // By reference: handles elsewhere must not keep it open.
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

/// The options of a connection to PostgreSQL.
///
/// No parameter is sent at the start that a pooler would have to be told to ignore: PgBouncer refuses
/// `options` and `extra_float_digits` by default. The driver reads numbers in their binary form, so it needs
/// no digits. `options=` without a value, which older versions wanted for poolers, is the same as none.
///
/// # Errors
/// When the URI cannot be read.
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

/// The statements of [`SESSION`]. A URI with `options` of its own takes their place.
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

/// Runs statements on every new connection.
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

/// The same options, with the tests that a connection to a file of SQLite must pass whenever it is taken or given
/// back: it is outside a transaction, and it may write if the file may be written.
fn with_connection_checks(
    options: PoolOptions<Sqlite>,
    file: PathBuf,
    run_on_start: Option<&str>,
) -> PoolOptions<Sqlite> {
    let statements = run_on_start.unwrap_or("").to_owned();
    let read_only = ReadOnlyTracker::default();
    let taken = read_only.clone();
    options
        .after_connect(move |connection, _| {
            let (statements, read_only) = (statements.clone(), read_only.clone());
            let is_replaced = sqlite_file::is_replaced(&file);
            Box::pin(async move {
                if is_replaced {
                    // It would mix two databases. The others go on with the one that they have open.
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
            let is_stale = taken.is_stale(metadata.age);
            Box::pin(async move { Ok(!is_stale && is_outside_transaction(connection).await?) })
        })
}

/// When a connection of a pool was last found to be read-only.
///
/// SQLite opens a file that it may not write for reading, and such a connection stays read-only when the file may
/// be written again. So connections from that time on back are replaced when they are taken.
#[derive(Clone, Default)]
struct ReadOnlyTracker(Arc<Mutex<Option<Instant>>>);

impl ReadOnlyTracker {
    /// Tests a new connection by a transaction that writes nothing. It does not wait for other writers: a
    /// connection that has to wait may write.
    async fn test_connection(&self, connection: &mut SqliteConnection) -> Result<(), SqlxError> {
        connection.execute("PRAGMA busy_timeout = 0").await?;
        let begun = connection.execute("BEGIN IMMEDIATE").await;
        if begun.is_ok() {
            connection.execute("ROLLBACK").await?;
        }
        connection.execute(BUSY_TIMEOUT_PRAGMA).await?;
        if let Err(error) = begun
            && classify(&connection_error(error)) == DbErrorKind::Unavailable(Outage::ReadOnly)
        {
            *self.last_seen() = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether a connection of this age was there when one was found to be read-only, or became the pool's soon
    /// after: its age counts from the end of the test.
    fn is_stale(&self, age: Duration) -> bool {
        self.last_seen()
            .is_some_and(|last| last.elapsed() <= age + CONNECTION_TEST_MARGIN)
    }

    fn last_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a connection is outside a transaction. The common answer, yes, costs an atomic read.
async fn is_outside_transaction(connection: &mut SqliteConnection) -> Result<bool, SqlxError> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // A transaction that was dropped rolls back in the connection's own thread: wait until it has.
    connection.ping().await?;
    let is_inside = connection.is_in_transaction();
    if is_inside {
        tracing::warn!("closing a connection whose transaction could not be ended");
    }
    Ok(!is_inside)
}

/// The same options, for one connection.
fn single_connection<DB: Database>(options: &PoolOptions<DB>) -> PoolOptions<DB> {
    options.clone().min_connections(0).max_connections(1)
}

/// The pool of a file of SQLite; `None` for one in memory, and for PostgreSQL.
fn sqlite_file_pool(db: &DatabaseConnection) -> Option<&SqlitePool> {
    if db.get_database_backend() != DbBackend::Sqlite {
        return None;
    }
    let pool = db.get_sqlite_connection_pool();
    is_file_database(&pool.connect_options()).then_some(pool)
}

/// The pool of PostgreSQL.
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
    // A panic elsewhere leaves the list as it was between two pushes.
    OPEN_POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}
