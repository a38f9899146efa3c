//! The migrations of the surveys.

mod m20261201_000001_surveys;

use sea_orm_migration::prelude::*;

/// Runs the migrations of the surveys.
pub struct SurveysMigrator;

impl MigratorTrait for SurveysMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261201_000001_surveys::Migration)]
    }

    /// Returns the name of the table that records these migrations.
    ///
    /// The table of Salam cannot record them: Salam refuses a database with unknown migrations.
    fn migration_table_name() -> DynIden {
        "surveys_migrations".into_iden()
    }
}
