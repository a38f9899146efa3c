//! Which poolers may stand between this program and PostgreSQL.
//!
//! Salam uses prepared statements and settings of its sessions, so a session must keep its server connection:
//! PgBouncer in session mode, Pgpool-II, RDS Proxy (which pins such sessions) and Supabase's session port fit.
//! In transaction mode a pooler gives one server connection to many sessions, and a statement that one of
//! them has prepared is unknown to, or in the way of, another.

use std::{sync::Arc, time::Duration};

use sea_orm_migration::sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError,
    sqlx::{ConnectOptions, Connection, PgConnection, Row, raw_sql},
};
use tokio::time::timeout;

/// How often two sessions are compared: a pooler that has several free server connections may give each
/// session one of its own for a while.
const POOLER_TEST_ROUNDS: usize = 5;

/// How long a session may take to answer.
const POOLER_TEST_TIMEOUT: Duration = Duration::from_secs(4);

const UNSUITABLE_POOLER_TEXT: &str = "a pooler in transaction or statement mode stands before PostgreSQL: two sessions share one server \
                       connection, and Salam needs sessions of its own; use session mode (PgBouncer: \
                       `pool_mode = session`), or connect to PostgreSQL directly";

/// Refuses a pooler that lets two sessions share a server connection. Accepts SQLite.
///
/// # Errors
/// One sentence that says what to change; or why the database cannot be reached.
pub async fn check_pooler(db: &DatabaseConnection) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let options = db.get_postgres_connection_pool().connect_options();
    let comparing = async {
        let mut first = options.connect().await?;
        let mut second = options.connect().await?;
        let mut is_shared = false;
        for _ in 0..POOLER_TEST_ROUNDS {
            // In turns, and outside a transaction: only then does such a pooler hand the connection on.
            is_shared |= backend_pid(&mut first).await? == backend_pid(&mut second).await?;
        }
        // An error while they close is of no interest.
        let _ = first.close().await;
        let _ = second.close().await;
        Ok::<_, SqlxError>(is_shared)
    };
    let silent = || {
        DbErr::Conn(RuntimeErr::Internal(
            "PostgreSQL does not answer".to_owned(),
        ))
    };
    let compared = timeout(POOLER_TEST_TIMEOUT, comparing)
        .await
        .map_err(|_| silent())?;
    match compared.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))? {
        true => Err(DbErr::Migration(UNSUITABLE_POOLER_TEXT.to_owned())),
        false => Ok(()),
    }
}

/// The process of the server that answers a session. Asked without a prepared statement, which would be in
/// the way of others behind a pooler in transaction mode.
async fn backend_pid(session: &mut PgConnection) -> Result<i32, SqlxError> {
    let row = raw_sql("SELECT pg_backend_pid()::int4")
        .fetch_one(session)
        .await?;
    row.try_get(0)
}
