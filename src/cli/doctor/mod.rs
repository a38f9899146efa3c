//! `cargo loco doctor`: checks of a node, or of a whole deployment.
//!
//! | command | checks | module |
//! |---|---|---|
//! | `doctor` | the configuration, the database, Redis and this machine | [`inside`] |
//! | `doctor --config` | nothing: it prints the configuration | [`config`] |
//! | `doctor https://chat.example` | the proxy and the server, as a client sees them | [`outside`] |
//!
//! Loco's own doctor runs only with a faultless configuration and an open database, when a doctor
//! is not needed.

mod config;
mod inside;
mod outside;
mod report;

use std::{io::stdout, process::ExitCode};

use clap::Parser;
use loco_rs::{
    Result,
    environment::{Environment, resolve_from_env},
};

use self::{
    outside::{OutsideOptions, Target},
    report::{Format, Report},
};

/// Check the configuration and its services, or check a deployment from outside.
///
/// Without a URL, the command checks the configuration, the database, Redis and this machine. With a URL, the command
/// tries the proxy and the server as a client does, and needs no configuration.
///
/// The exit code is 1 if a check fails. The output contains no secret.
#[derive(Parser)]
#[command(name = "doctor", bin_name = "cargo loco doctor")]
pub struct DoctorCommand {
    /// The URL at which clients reach the server, such as `https://chat.example`
    #[arg(conflicts_with_all = ["environment", "config", "production"])]
    url: Option<Target>,
    /// Specify the environment [default: development]
    #[arg(short, long)]
    environment: Option<String>,
    /// Show the configuration instead, with its secrets hidden
    #[arg(short, long, conflicts_with = "json")]
    config: bool,
    /// The same as `--environment production`
    #[arg(short, long)]
    production: bool,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    outside: OutsideOptions,
}

impl DoctorCommand {
    /// Runs the checks and prints their results. The exit code is 1 if a check failed.
    ///
    /// # Errors
    /// When an option is invalid, or the output cannot be written.
    pub async fn run(self) -> Result<ExitCode> {
        let format = if self.json {
            Format::Json
        } else {
            Format::Text
        };
        let has_passed = match self.url {
            Some(target) => {
                let report = Report::begin(stdout(), format, ("url", target.origin()));
                outside::run_checks(&target, &self.outside, report).await?
            }
            None => {
                let environment = match self.environment {
                    _ if self.production => Environment::Production,
                    Some(name) => name.into(),
                    None => resolve_from_env().into(),
                };
                if self.config {
                    config::show(&environment, &mut stdout())?;
                    return Ok(ExitCode::SUCCESS);
                }
                let subject = ("environment", environment.to_string());
                let report = Report::begin(stdout(), format, subject);
                inside::run_checks(&environment, report).await?
            }
        };
        Ok(if has_passed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
