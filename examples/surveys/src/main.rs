//! The command line: `cargo run -p salam-surveys -- start`, in the root of the project, where `config/` is.
//!
//! The commands are those of Salam: they read `.env`, and ask for consent before they delete data in production.

use std::process::ExitCode;

use migration::Migrator;
use salam_surveys::app::SurveysApp;

fn main() -> ExitCode {
    salam::cli::run::<SurveysApp, Migrator>()
}
