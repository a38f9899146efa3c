//! Nodes that start together on one PostgreSQL migrate one after the other.

use sea_orm_migration::sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr,
};

/// Any number that no other program locks in this database.
const KEY: i64 = 0x53_41_4c_41_4d;

/// The right to migrate; it ends when this is dropped, and with the process.
pub struct MigrationLock {
    /// An advisory lock belongs to its session: the one connection of this pool, which is kept
    /// however long it is idle.
    _session: Option<DatabaseConnection>,
}

impl MigrationLock {
    /// Waits until no other node migrates. SQLite needs no lock: it has one node.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn acquire(uri: &str) -> Result<Self, DbErr> {
        if !uri.starts_with("postgres") {
            return Ok(Self { _session: None });
        }
        let mut options = ConnectOptions::new(uri);
        options
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .sqlx_logging(false);
        let session = Database::connect(options).await?;
        session
            .execute_unprepared(&format!("SELECT pg_advisory_lock({KEY})"))
            .await?;
        Ok(Self {
            _session: Some(session),
        })
    }
}
