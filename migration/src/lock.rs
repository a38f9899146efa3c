//! Nodes that start together on one PostgreSQL migrate one after the other.

use sea_orm_migration::sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr,
};

/// Any number that no other program locks in this database.
const LOCK: i64 = 0x53_41_4c_41_4d;

/// The turn of one node; it ends when this is dropped, and with the process.
pub struct Turn {
    /// An advisory lock belongs to its session: the pool of one is what holds it.
    _session: Option<DatabaseConnection>,
}

impl Turn {
    /// Waits for this node's turn to migrate.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn wait(uri: &str) -> Result<Self, DbErr> {
        if !uri.starts_with("postgres") {
            return Ok(Self { _session: None });
        }
        let mut options = ConnectOptions::new(uri);
        options.max_connections(1).sqlx_logging(false);
        let session = Database::connect(options).await?;
        session
            .execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})"))
            .await?;
        Ok(Self {
            _session: Some(session),
        })
    }
}
