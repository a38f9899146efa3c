//! The state of a database's schema, and the check that this program may migrate it.

use sea_orm_migration::{
    MigratorTrait, SchemaManager, SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QuerySelect},
    seaql_migrations,
};

use super::Migrator;

/// The table with the names of the migrations that have run.
const MIGRATION_TABLE: &str = "seaql_migrations";

/// A table that the first migration creates.
const FIRST_TABLE: &str = "users";

/// The suffix of a migration with which older versions do not work.
///
/// Every other migration only expands the schema, so that a node of an older version works until it is replaced.
const BREAKING_SUFFIX: &str = "_breaking";

/// The state of a schema. Reading it changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has tables, but none of these migrations has run.
    Foreign,
    /// A newer version ran migrations that this program does not have.
    Newer {
        /// The names of these migrations.
        unknown: Vec<String>,
        /// `true` if this version works with the schema: all its own migrations have run, and the others only expand
        /// the schema.
        is_compatible: bool,
    },
    /// The number of migrations that have not run yet.
    Pending(usize),
}

/// The state of one migration in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// The migration has run.
    Applied,
    /// The migration has not run yet.
    Pending,
    /// The migration has run, and this program does not have it: a newer version ran it.
    Unknown,
}

/// Returns the names of all migrations with their states, in the order of their names. Changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn list_migrations<M: MigratorTrait>(
    db: &DatabaseConnection,
) -> Result<Vec<(String, MigrationState)>, DbErr> {
    let known: Vec<String> = M::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let applied = if SchemaManager::new(db).has_table(MIGRATION_TABLE).await? {
        read_applied(db).await?
    } else {
        Vec::new()
    };
    let known_states = known.iter().map(|name| {
        let state = if applied.contains(name) {
            MigrationState::Applied
        } else {
            MigrationState::Pending
        };
        (name.clone(), state)
    });
    let unknown = applied.iter().filter(|name| !known.contains(name));
    let unknown = unknown.map(|name| (name.clone(), MigrationState::Unknown));
    let mut all: Vec<_> = known_states.chain(unknown).collect();
    all.sort_by(|(first, _), (second, _)| first.cmp(second));
    Ok(all)
}

/// Returns the names of the migrations that have run.
async fn read_applied(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let run = seaql_migrations::Entity::find()
        .select_only()
        .column(seaql_migrations::Column::Version);
    run.into_tuple().all(db).await
}

/// Returns `true` if the name of a migration states that older versions work with it.
fn only_expands(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    !name.is_empty() && !name.ends_with(BREAKING_SUFFIX)
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
        if !schema.has_table(MIGRATION_TABLE).await? {
            return Ok(if schema.has_table(FIRST_TABLE).await? {
                Self::Foreign
            } else {
                Self::Pending(migrations.len())
            });
        }
        let mut unknown = read_applied(db).await?;
        let run_count = unknown.len();
        unknown.retain(|version| {
            !migrations
                .iter()
                .any(|migration| migration.name() == version)
        });
        Ok(if unknown.is_empty() {
            Self::Pending(migrations.len().saturating_sub(run_count))
        } else {
            let pending = (migrations.len() + unknown.len()).saturating_sub(run_count);
            let is_compatible = pending == 0 && unknown.iter().all(|name| only_expands(name));
            Self::Newer {
                unknown,
                is_compatible,
            }
        })
    }

    /// Returns `true` if all migrations that this program needs have run.
    #[must_use]
    pub const fn is_migrated(&self) -> bool {
        matches!(
            self,
            Self::Pending(0)
                | Self::Newer {
                    is_compatible: true,
                    ..
                }
        )
    }

    /// Checks that this program may use the database, and run its own migrations in it.
    ///
    /// # Errors
    /// The reason, with a remedy.
    pub fn check_usable(&self) -> Result<(), DbErr> {
        match self {
            Self::Newer {
                is_compatible: true,
                ..
            } => Ok(()),
            _ => self.check_reversible(),
        }
    }

    /// Checks that this program may roll migrations back: it must have all of them.
    ///
    /// # Errors
    /// The reason, with a remedy.
    pub(super) fn check_reversible(&self) -> Result<(), DbErr> {
        match self {
            Self::Pending(_) => Ok(()),
            Self::Foreign => Err(DbErr::Migration(
                "the database has tables of another program; use a separate database for Salam"
                    .to_owned(),
            )),
            Self::Newer { unknown, .. } => Err(DbErr::Migration(format!(
                "the database was migrated by a newer version, with migrations that this version \
                 does not have: {}; start the newer version, restore a backup from before the \
                 migrations, or, in development, delete the database",
                unknown.join(", ")
            ))),
        }
    }
}
