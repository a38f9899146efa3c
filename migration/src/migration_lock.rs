//! The lock that makes nodes on one PostgreSQL migrate one after the other.

use sea_orm_migration::{
    SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, TransactionTrait},
};

/// The key of the lock: an arbitrary number that no other program uses in this database.
const ADVISORY_LOCK_KEY: i64 = 0x53_41_4c_41_4d;

/// The right to migrate. It ends when this value is dropped, or with the process.
///
/// The lock uses a second connection of the pool.
pub struct MigrationLock {
    _transaction: Option<DatabaseTransaction>,
}

impl MigrationLock {
    /// Waits until no other node migrates. SQLite needs no lock, because it has one node.
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
            // The caller's transaction needs no lock.
            _ => return Ok(Self { _transaction: None }),
        };
        let max_connections = pool
            .get_postgres_connection_pool()
            .options()
            .get_max_connections();
        if max_connections < 2 {
            return Err(DbErr::Custom(format!(
                "database.max_connections is {max_connections}; on PostgreSQL it must be 2 or more \
                 to migrate"
            )));
        }
        let transaction = pool.begin().await?;
        let wait = format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK_KEY})");
        for statement in [
            // The migration of another node may take long, and so may this one.
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
