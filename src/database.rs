//! What is wanted of the connections to the database, where the framework has no setting for it.

use std::time::Duration;

use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqlxError, SqlxPostgresConnector,
    SqlxSqliteConnector,
    sqlx::{Connection, Database, SqlitePool, pool::PoolOptions},
};

/// Pages that SQLite writes to its log before it brings them into the file: what changes often is brought
/// there once, and not for each thousand of pages as by default. 32 MiB of log with pages of 2 KiB, which
/// `database.run_on_start` gives a new file.
const PAGES_OF_LOG: &str = "16384";

/// What the one who writes all messages keeps of the file, in KiB: mostly the ends of indices.
const KEPT_FOR_WRITING: &str = "-16384";

/// How long a connection may have had nothing to do until it is asked whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// Takes a connection to a file of SQLite without asking first whether it still works: there is no
/// network in between that could have broken it, and the answer would cost as much as a query.
#[must_use]
pub fn tuned(db: DatabaseConnection) -> DatabaseConnection {
    let Some(pool) = pool_of_file(&db) else {
        return db;
    };
    let options = pool.options().clone().test_before_acquire(false);
    let connect = (*pool.connect_options()).clone();
    let pool = options.connect_lazy_with(connect.pragma("wal_autocheckpoint", PAGES_OF_LOG));
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

/// The same database for who writes one transaction after the other, by a connection of its own: it
/// waits for no reader.
///
/// What it has read of a file of SQLite stays true as long as nobody else writes, while each of several
/// that took turns would have to read it again. PostgreSQL keeps its plans, also those that it made when
/// a table was small and that went through all of it; this one goes by the indices from the beginning,
/// and keeps each plan, where others are made anew for each length of what is asked.
#[must_use]
pub fn for_writing(db: &DatabaseConnection) -> DatabaseConnection {
    if let Some(pool) = pool_of_file(db) {
        let options = alone(pool.options());
        let connect = (*pool.connect_options()).clone();
        let connect = connect
            .pragma("cache_size", KEPT_FOR_WRITING)
            // What a statement may have to take back: small ones keep it in memory anyway, while
            // many rows at once would make a file of it, for each statement.
            .pragma("temp_store", "MEMORY");
        let pool = options.connect_lazy_with(connect);
        return SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
    }
    if db.get_database_backend() == DbBackend::Postgres {
        let pool = db.get_postgres_connection_pool();
        let options = alone(pool.options())
            .test_before_acquire(false)
            .before_acquire(|connection, of| {
                Box::pin(async move {
                    // One that has just worked is not asked whether it does.
                    if of.idle_for > ASKED_AFTER {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        let connect = (*pool.connect_options()).clone().options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let pool = options.connect_lazy_with(connect);
        return SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    }
    db.clone()
}

/// Whether an error says that a connection is gone, or was not made, and nothing about the next one.
#[must_use]
pub fn is_cut(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))
    | DbErr::Conn(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    match &**cause {
        SqlxError::Io(_) => true,
        // It was closed before it was asked who is there.
        SqlxError::Protocol(_) => matches!(error, DbErr::Conn(_)),
        // An operator has ended it, another process of the server has crashed, or it is not up yet.
        SqlxError::Database(error) => {
            let code = error.code();
            matches!(code.as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

/// The same options, for one connection.
fn alone<DB: Database>(options: &PoolOptions<DB>) -> PoolOptions<DB> {
    options.clone().min_connections(0).max_connections(1)
}

/// The connections to a file of SQLite. (Another one to a database in memory would be to another
/// database.)
fn pool_of_file(db: &DatabaseConnection) -> Option<&SqlitePool> {
    if db.get_database_backend() != DbBackend::Sqlite {
        return None;
    }
    let pool = db.get_sqlite_connection_pool();
    let options = pool.connect_options();
    let name = options.get_filename().to_string_lossy();
    (!name.contains(":memory:") && !name.starts_with("file:")).then_some(pool)
}
