//! How far a database has come, and whether it is ours to take further.

use sea_orm_migration::{
    MigratorTrait, SchemaManager, SchemaManagerConnection,
    sea_orm::{DatabaseConnection, DbErr, EntityTrait, QuerySelect},
    seaql_migrations,
};

use super::Migrator;

/// A table of the first migration.
const FIRST_TABLE: &str = "users";

/// A database as the migrations see it. To look changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It has tables, and was never migrated by us.
    Foreign,
    /// Migrations that this program does not know have run: a newer one was here.
    Newer(Vec<String>),
    /// How many migrations have still to run.
    Pending(usize),
}

impl SchemaState {
    /// # Errors
    /// When the database fails.
    pub async fn read(db: &DatabaseConnection) -> Result<Self, DbErr> {
        Self::read_from(&SchemaManagerConnection::Connection(db)).await
    }

    pub(super) async fn read_from(db: &SchemaManagerConnection<'_>) -> Result<Self, DbErr> {
        let mine = Migrator::migrations();
        let schema = match db {
            SchemaManagerConnection::Connection(db) => SchemaManager::new(*db),
            SchemaManagerConnection::Transaction(db) => SchemaManager::new(*db),
            SchemaManagerConnection::OwnedTransaction(db) => SchemaManager::new(db),
        };
        if !schema.has_table("seaql_migrations").await? {
            return Ok(if schema.has_table(FIRST_TABLE).await? {
                Self::Foreign
            } else {
                Self::Pending(mine.len())
            });
        }
        let run = seaql_migrations::Entity::find()
            .select_only()
            .column(seaql_migrations::Column::Version);
        let mut unknown: Vec<String> = run.into_tuple().all(db).await?;
        let all = unknown.len();
        unknown.retain(|version| !mine.iter().any(|mine| mine.name() == version));
        Ok(if unknown.is_empty() {
            Self::Pending(mine.len().saturating_sub(all))
        } else {
            Self::Newer(unknown)
        })
    }

    /// That this program may use and migrate it.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check_usable(&self) -> Result<(), DbErr> {
        match self {
            Self::Pending(_) => Ok(()),
            Self::Foreign => Err(DbErr::Migration(
                "the database has tables of something else; give Salam one of its own".to_owned(),
            )),
            Self::Newer(unknown) => Err(DbErr::Migration(format!(
                "the database was migrated by a newer version, which knows {}; start that, or \
                 restore a backup of before, or delete the database if it is only for development",
                unknown.join(", ")
            ))),
        }
    }
}
