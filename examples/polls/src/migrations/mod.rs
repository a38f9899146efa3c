//! The migrations of the polls.

mod m20261201_000001_polls;

use sea_orm_migration::prelude::*;

/// Runs the migrations of the polls.
pub struct PollsMigrator;

impl MigratorTrait for PollsMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261201_000001_polls::Migration)]
    }

    /// Returns the name of the table that records these migrations.
    ///
    /// The table of Salam cannot record them: Salam refuses a database with unknown migrations.
    fn migration_table_name() -> DynIden {
        "polls_migrations".into_iden()
    }
}
