//! The schema, as migrations that run on SQLite and on PostgreSQL.

pub use sea_orm_migration::prelude::*;

mod m20261122_000001_users;
mod m20261122_000002_chat_groups;
mod m20261122_000003_memberships;
mod m20261122_000004_events;
mod m20261122_000005_messages;
mod m20261122_000006_invites;
mod m20261122_000007_bans;
mod m20261122_000008_epochs;
mod m20261122_000009_reactions;
mod m20261123_000010_sessions;
mod m20261123_000011_skeletons;
mod m20261126_000012_lists;
mod m20261130_000013_usernames;
mod m20261130_000014_timeline;
mod migration_lock;
mod pooler;
mod schema_state;
pub mod skeletons;

pub use migration_lock::MigrationLock;
pub use pooler::check_pooler;
pub use schema_state::{MigrationState, SchemaState, list_migrations};

/// The migrations of Salam. They run under a lock, after checks of the pooler and of the schema.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_users::Migration),
            Box::new(m20261122_000002_chat_groups::Migration),
            Box::new(m20261122_000003_memberships::Migration),
            Box::new(m20261122_000004_events::Migration),
            Box::new(m20261122_000005_messages::Migration),
            Box::new(m20261122_000006_invites::Migration),
            Box::new(m20261122_000007_bans::Migration),
            Box::new(m20261122_000008_epochs::Migration),
            Box::new(m20261122_000009_reactions::Migration),
            Box::new(m20261123_000010_sessions::Migration),
            Box::new(m20261123_000011_skeletons::Migration),
            Box::new(m20261126_000012_lists::Migration),
            Box::new(m20261130_000013_usernames::Migration),
            Box::new(m20261130_000014_timeline::Migration),
            // inject-above (do not remove this comment: the generators write above it)
        ]
    }

    async fn up<'c, C>(db: C, steps: Option<u32>) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        let db = db.into_database_executor();
        let (lock, state) = check_and_lock(&db).await?;
        state.check_usable()?;
        let migrated = match state {
            // The newer version has run all migrations of this version too.
            SchemaState::Newer { .. } => Ok(()),
            _ => UnlockedMigrator::up(db, steps).await,
        };
        drop(lock);
        migrated
    }

    async fn down<'c, C>(db: C, steps: Option<u32>) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        let db = db.into_database_executor();
        let (lock, state) = check_and_lock(&db).await?;
        state.check_reversible()?;
        let migrated = UnlockedMigrator::down(db, steps).await;
        drop(lock);
        migrated
    }

    /// Rolls back all migrations, then runs them again.
    ///
    /// The default drops one table after the other. SQLite refuses to drop a table to which rows of another table
    /// refer.
    async fn fresh<'c, C>(db: C) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        let db = db.into_database_executor();
        let (lock, state) = check_and_lock(&db).await?;
        state.check_reversible()?;
        let migrated = UnlockedMigrator::refresh(db).await;
        drop(lock);
        migrated
    }
}

/// Checks the pooler, and returns the lock of the migrations and the state of the schema.
async fn check_and_lock(
    db: &SchemaManagerConnection<'_>,
) -> Result<(MigrationLock, SchemaState), DbErr> {
    if let SchemaManagerConnection::Connection(pool) = db {
        check_pooler(pool).await?;
    }
    let lock = MigrationLock::acquire(db).await?;
    let state = SchemaState::read_from(db).await?;
    Ok((lock, state))
}

/// The same migrations for a caller that holds the lock.
struct UnlockedMigrator;

impl MigratorTrait for UnlockedMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations()
    }
}
