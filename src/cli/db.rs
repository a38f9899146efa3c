//! `cargo loco db …`: Loco's commands. In production, commands that delete data require a
//! confirmation.

use std::{io::Write, path::PathBuf};

use clap::{Parser, Subcommand};
use loco_rs::{
    Error, Result,
    app::{AppContext, Hooks},
    boot::{RunDbCommand, create_context, run_db},
    db,
    environment::{Environment, resolve_from_env},
};
use migration::{MigrationState, MigratorTrait, check_pooler, list_migrations};

use crate::settings::{DatabaseSettings, is_production};

/// Perform database operations
#[derive(Parser)]
#[command(name = "db", bin_name = "cargo loco db")]
pub struct DbCommand {
    #[command(subcommand)]
    action: Action,
    /// Specify the environment [default: development]
    #[arg(short, long, global = true)]
    environment: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Create the database; only for PostgreSQL
    Create,
    /// Run the pending migrations
    Migrate,
    /// Revert the last migration, or the given number of migrations, and delete their tables
    Down {
        /// The number of migrations
        #[arg(default_value_t = 1)]
        steps: u32,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete all tables, then run all migrations
    Reset {
        #[command(flatten)]
        consent: Consent,
    },
    /// Show which migrations have run
    Status,
    /// Write the entities in src/models/_entities from the database
    #[cfg(debug_assertions)]
    Entities,
    /// Delete all rows of all tables
    Truncate {
        #[command(flatten)]
        consent: Consent,
    },
    /// Create example users and groups, or write tables to files
    Seed {
        /// Delete all data first
        #[arg(short, long)]
        reset: bool,
        /// Write all tables to files instead
        #[arg(short, long)]
        dump: bool,
        /// Write these tables to files instead
        #[arg(long, value_delimiter = ',')]
        dump_tables: Option<Vec<String>>,
        /// The folder of the files
        #[arg(long, default_value = "src/fixtures")]
        from: PathBuf,
        #[command(flatten)]
        consent: Consent,
    },
    /// Write the schema to schema_dump.json
    Schema,
}

#[derive(clap::Args)]
struct Consent {
    /// Run in production too, and delete the data of users
    #[arg(long)]
    yes_delete_everything: bool,
}

impl Action {
    /// Returns the name of a command that deletes data, with the operator's consent. `None` for
    /// other commands.
    const fn destructive_command(&self) -> Option<(&'static str, &Consent)> {
        match self {
            Self::Down { consent, .. } => Some(("db down", consent)),
            Self::Reset { consent } => Some(("db reset", consent)),
            Self::Truncate { consent } => Some(("db truncate", consent)),
            Self::Seed {
                reset: true,
                consent,
                ..
            } => Some(("db seed --reset", consent)),
            _ => None,
        }
    }
}

impl DbCommand {
    /// Runs the command on the database of an app.
    ///
    /// # Errors
    /// When the configuration is faulty, the database fails, or a command would delete data in
    /// production without `--yes-delete-everything`.
    pub async fn run<A: Hooks, M: MigratorTrait>(self) -> Result<()> {
        let environment: Environment = self.environment.unwrap_or_else(resolve_from_env).into();
        let config = A::load_config(&environment).await?;
        let database = DatabaseSettings::from_config(&config);
        if is_production(&environment)
            && let Some((command, consent)) = self.action.destructive_command()
            && !consent.yes_delete_everything
        {
            return Err(Error::Message(format!(
                "`{command}` would delete data in {} ({environment}); nothing was changed. Make a \
                 backup, then add --yes-delete-everything",
                database.describe()
            )));
        }
        let mut ctx = create_context::<A>(&environment, config).await?;
        if !A::init_logger(&ctx)? {
            loco_rs::logger::init::<A>(&ctx.config.logger)?;
        }
        if !matches!(self.action, Action::Create) {
            check_pooler(&ctx.db).await?;
        }
        // `db create` and `db entities` use the URL, not the connection.
        ctx.config.database.uri = database.uri;
        let command = match self.action {
            Action::Create => return db::create(&ctx.config.database.uri).await,
            Action::Migrate => RunDbCommand::Migrate,
            Action::Down { steps, .. } => RunDbCommand::Down(steps),
            Action::Reset { .. } => RunDbCommand::Reset,
            Action::Status => return print_status::<M>(&ctx).await,
            #[cfg(debug_assertions)]
            Action::Entities => RunDbCommand::Entities,
            Action::Truncate { .. } => RunDbCommand::Truncate,
            Action::Seed {
                reset,
                dump,
                dump_tables,
                from,
                ..
            } => RunDbCommand::Seed {
                reset,
                from,
                dump,
                dump_tables,
            },
            Action::Schema => RunDbCommand::Schema,
        };
        run_db::<A, M>(&ctx, command).await
    }
}

/// Prints the state of each migration. Loco's command fails when a newer version has migrated the database.
async fn print_status<M: MigratorTrait>(ctx: &AppContext) -> Result<()> {
    let mut output = std::io::stdout().lock();
    for (name, state) in list_migrations::<M>(&ctx.db).await? {
        let state = match state {
            MigrationState::Applied => "applied",
            MigrationState::Pending => "pending",
            MigrationState::Unknown => "applied by a newer version",
        };
        writeln!(output, "{name}: {state}")?;
    }
    Ok(())
}
