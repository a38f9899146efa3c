//! The checks of a node: all checks of a start, the database, Redis and this machine.
//!
//! Each check runs by itself, so one fault does not hide the others. The checks change only the time stamp of one row
//! of the database, as each request for `/_readiness` does.

mod broker;
mod database;
mod machine;

use std::{io::Write, time::Duration};

use loco_rs::{Result, environment::Environment};

use super::{
    super::explain::explain_error,
    report::{Finding, Report},
};
use crate::settings::{ConfigCheck, Settings, is_production, load_config};

/// The timeout of the database check and of the Redis check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// The name of the connections to PostgreSQL and Redis.
const CLIENT_NAME: &str = "salam/doctor";

/// Runs all checks and prints for each whether it passed and how to fix it, without any secret.
///
/// Returns `true` if no check failed.
///
/// # Errors
/// When the output cannot be written.
pub async fn run_checks<W: Write>(
    environment: &Environment,
    mut report: Report<W>,
) -> Result<bool> {
    let version = env!("CARGO_PKG_VERSION");
    report.write_line(&format!("Salam {version} in {environment}"));
    report.write_line("");
    let config = match load_config(environment) {
        Ok(config) => config,
        Err(error) => {
            report.add("configuration", Finding::failed_with(explain_error(&error)));
            return Ok(report.finish()?);
        }
    };
    let (settings, checks) = Settings::load_with_checks(&config, environment);
    let has_database_url = checks
        .iter()
        .all(|check| check.name != "DATABASE_URL" || check.faults.is_empty());
    for check in checks {
        add_config_check(&mut report, check);
    }
    let is_local = settings
        .as_ref()
        .is_some_and(Settings::accepts_only_local_hosts);
    if is_production(environment) && is_local {
        report.add("host names", warn_about_host_names());
    }
    let mut database_offset = None;
    if has_database_url {
        let checked = database::check(&config.database).await;
        database_offset = checked.clock_offset;
        add_all(&mut report, checked.findings);
    } else {
        let message = "was not checked: see DATABASE_URL";
        report.add("database", Finding::failed_with(message));
    }
    if let Some(settings) = &settings {
        let findings = broker::check(&settings.channels, database_offset).await;
        add_all(&mut report, findings);
        let open_files = machine::check_open_files(settings.door.max_connections);
        add_all(
            &mut report,
            open_files.map(|finding| ("open files", finding)),
        );
    }
    Ok(report.finish()?)
}

fn warn_about_host_names() -> Finding {
    Finding::warning(
        "clients on other machines get 421, because PUBLIC_URL and settings.door.allowed_hosts are empty",
        "set PUBLIC_URL to the URL at which clients reach the server",
    )
}

fn add_all<W: Write>(
    report: &mut Report<W>,
    findings: impl IntoIterator<Item = (&'static str, Finding)>,
) {
    for (name, finding) in findings {
        report.add(name, finding);
    }
}

fn add_config_check<W: Write>(report: &mut Report<W>, check: ConfigCheck) {
    let ConfigCheck { name, faults } = check;
    if faults.is_empty() {
        report.add(name, Finding::passed(""));
    }
    for fault in faults {
        report.add(name, Finding::failed_with(fault));
    }
}
