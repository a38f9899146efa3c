//! The state of a database's schema, and the check that this program may migrate it.

use sea_orm_migration::{
    MigratorTrait, SchemaManager, SchemaManagerConnection,
    sea_orm::{DatabaseConnection, DbErr, EntityTrait, QuerySelect},
    seaql_migrations,
};

use super::Migrator;

/// A table that the first migration creates.
const FIRST_TABLE: &str = "users";

/// The state of a schema. Reading it changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has tables, but none of these migrations has run.
    Foreign,
    /// Migrations that this program does not have were run by a newer version.
    Newer(Vec<String>),
    /// The number of migrations that have not run yet.
    Pending(usize),
}

impl SchemaState {
    /// Reads the state of a database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(db: &DatabaseConnection) -> Result<Self, DbErr> {
        Self::read_from(&SchemaManagerConnection::Connection(db)).await
    }

    pub(super) async fn read_from(db: &SchemaManagerConnection<'_>) -> Result<Self, DbErr> {
        let migrations = Migrator::migrations();
        let schema = match db {
            SchemaManagerConnection::Connection(db) => SchemaManager::new(*db),
            SchemaManagerConnection::Transaction(db) => SchemaManager::new(*db),
            SchemaManagerConnection::OwnedTransaction(db) => SchemaManager::new(db),
        };
        if !schema.has_table("seaql_migrations").await? {
            return Ok(if schema.has_table(FIRST_TABLE).await? {
                Self::Foreign
            } else {
                Self::Pending(migrations.len())
            });
        }
        let run = seaql_migrations::Entity::find()
            .select_only()
            .column(seaql_migrations::Column::Version);
        let mut unknown: Vec<String> = run.into_tuple().all(db).await?;
        let run_count = unknown.len();
        unknown.retain(|version| {
            !migrations
                .iter()
                .any(|migration| migration.name() == version)
        });
        Ok(if unknown.is_empty() {
            Self::Pending(migrations.len().saturating_sub(run_count))
        } else {
            Self::Newer(unknown)
        })
    }

    /// Checks that this program may use and migrate the database.
    ///
    /// # Errors
    /// The reason, with a remedy.
    pub fn check_usable(&self) -> Result<(), DbErr> {
        match self {
            Self::Pending(_) => Ok(()),
            Self::Foreign => Err(DbErr::Migration(
                "the database has tables of another program; use a separate database for Salam"
                    .to_owned(),
            )),
            Self::Newer(unknown) => Err(DbErr::Migration(format!(
                "the database was migrated by a newer version, with migrations that this version \
                 does not have: {}; start the newer version, restore a backup from before the \
                 migrations, or, in development, delete the database",
                unknown.join(", ")
            ))),
        }
    }
}
