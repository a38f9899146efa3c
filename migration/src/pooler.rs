//! The check of a connection pooler between Salam and PostgreSQL.
//!
//! Salam uses prepared statements and session settings, so a session must keep its server connection. PgBouncer in
//! session mode, Pgpool-II, RDS Proxy (which pins such sessions) and Supabase's session port do that.
//!
//! In transaction mode, a pooler gives one server connection to many sessions. A statement that one session has
//! prepared is then unknown to another session, or conflicts with its statements.

use std::{sync::Arc, time::Duration};

use sea_orm_migration::sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError,
    sqlx::{ConnectOptions, Connection, PgConnection, Row, raw_sql},
};
use tokio::time::timeout;

/// The number of comparisons of two sessions.
///
/// A pooler with several free server connections may give each session its own connection for a while.
const POOLER_TEST_ROUNDS: usize = 5;

/// The longest time of the whole check.
const POOLER_TEST_TIMEOUT: Duration = Duration::from_secs(4);

const UNSUITABLE_POOLER_TEXT: &str = "the pooler in front of PostgreSQL is in transaction or \
                                      statement mode: two sessions share one server connection, \
                                      but Salam needs one server connection for each session; use \
                                      session mode (PgBouncer: `pool_mode = session`), or connect \
                                      to PostgreSQL directly";

/// Refuses a pooler that lets two sessions share a server connection. Accepts SQLite.
///
/// # Errors
/// A sentence that states what to change, or the reason why the database cannot be reached.
pub async fn check_pooler(db: &DatabaseConnection) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let options = db.get_postgres_connection_pool().connect_options();
    let comparison = async {
        let mut first = options.connect().await?;
        let mut second = options.connect().await?;
        let mut is_shared = false;
        for _ in 0..POOLER_TEST_ROUNDS {
            // The sessions take turns, outside a transaction: only then does such a pooler reuse the connection.
            is_shared |= backend_pid(&mut first).await? == backend_pid(&mut second).await?;
        }
        // Errors on close do not matter.
        let _ = first.close().await;
        let _ = second.close().await;
        Ok::<_, SqlxError>(is_shared)
    };
    let timeout_error = || {
        DbErr::Conn(RuntimeErr::Internal(format!(
            "PostgreSQL did not respond within {POOLER_TEST_TIMEOUT:?}"
        )))
    };
    let is_shared = timeout(POOLER_TEST_TIMEOUT, comparison)
        .await
        .map_err(|_| timeout_error())?;
    match is_shared.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))? {
        true => Err(DbErr::Migration(UNSUITABLE_POOLER_TEXT.to_owned())),
        false => Ok(()),
    }
}

/// Returns the id of the server process that serves a session.
///
/// The query is not a prepared statement, because that could conflict with other sessions behind a pooler in
/// transaction mode.
async fn backend_pid(session: &mut PgConnection) -> Result<i32, SqlxError> {
    let row = raw_sql("SELECT pg_backend_pid()::int4")
        .fetch_one(session)
        .await?;
    row.try_get(0)
}
