//! Nodes that start together on one PostgreSQL migrate one after the other.

use sea_orm_migration::{
    SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, TransactionTrait},
};

/// Any number that no other program locks in this database.
const ADVISORY_LOCK_KEY: i64 = 0x53_41_4c_41_4d;

/// The right to migrate; it ends when this is dropped, and with the process. It takes a second
/// connection of the pool.
pub struct MigrationLock {
    _transaction: Option<DatabaseTransaction>,
}

impl MigrationLock {
    /// Waits until no other node migrates. SQLite needs no lock: it has one node.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acquire(db: &SchemaManagerConnection<'_>) -> Result<Self, DbErr> {
        let pool = match db {
            SchemaManagerConnection::Connection(pool)
                if db.get_database_backend() == DbBackend::Postgres =>
            {
                pool
            }
            // Inside a transaction of the caller there is nothing to wait for.
            _ => return Ok(Self { _transaction: None }),
        };
        if pool
            .get_postgres_connection_pool()
            .options()
            .get_max_connections()
            < 2
        {
            let told = "on PostgreSQL, database.max_connections must be 2 at least to migrate";
            return Err(DbErr::Custom(told.to_owned()));
        }
        let transaction = pool.begin().await?;
        let wait = format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK_KEY})");
        for statement in [
            // Another node may migrate for long, and so may this one.
            "SET LOCAL lock_timeout = 0",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
            &wait,
        ] {
            transaction.execute_unprepared(statement).await?;
        }
        Ok(Self {
            _transaction: Some(transaction),
        })
    }
}
