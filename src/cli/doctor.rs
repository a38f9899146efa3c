//! `cargo loco doctor`: runs all checks of a start, and connects to the database and to Redis.
//!
//! Loco's own doctor runs only with a faultless configuration and an open database, when a doctor
//! is not needed. This doctor runs each check by itself, and changes nothing.

use std::{fmt, io::Write, path::Path, time::Duration};

use loco_rs::{Result, config::Config, config::Database, environment::Environment};
use migration::{SchemaState, check_pooler};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::explain::explain_error;
use crate::{
    channels::broker::probe_redis,
    database::{open_pool, sqlite_file::check_wal_owner},
    models::{epochs, users},
    settings::{ChannelSettings, ConfigCheck, Settings, sqlite_file},
};

/// The timeout of the database check and of the Redis check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// The timeout of a connection. It is shorter than [`CHECK_TIMEOUT`], so that the driver can report
/// its reason.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The name of the connections to PostgreSQL and Redis.
const DOCTOR_CLIENT_NAME: &str = "salam/doctor";

/// Keys of the configuration whose values may be or contain secrets.
const SECRET_KEYS: [&str; 5] = ["secret", "password", "uri", "url", "redis_url"];

/// Runs all checks and prints for each whether it passed and how to fix it, without any secret.
///
/// Returns `true` if all checks passed.
///
/// # Errors
/// When the output cannot be written.
pub async fn run_checks(environment: &Environment, out: &mut impl Write) -> Result<bool> {
    writeln!(
        out,
        "Salam {} in {environment}\n",
        env!("CARGO_PKG_VERSION")
    )?;
    let config = match environment.load() {
        Ok(config) => config,
        Err(error) => {
            let failed = CheckResult::failed("configuration", explain_error(&error));
            writeln!(out, "{failed}")?;
            return Ok(false);
        }
    };
    let (settings, checks) = Settings::load_with_checks(&config, environment);
    let mut results: Vec<CheckResult> = checks.into_iter().flat_map(results_of).collect();
    let has_database_url = is_check_passed(&results, "DATABASE_URL");
    results.push(if has_database_url {
        check_database(&config.database).await
    } else {
        CheckResult::failed("database", "was not checked: see DATABASE_URL")
    });
    if let Some(settings) = &settings {
        results.push(check_redis(&settings.channels).await);
    }
    for result in &results {
        writeln!(out, "{result}")?;
    }
    Ok(results.iter().all(|result| result.has_passed))
}

/// Prints the configuration as the server reads it, with its secrets hidden.
///
/// # Errors
/// When the configuration cannot be read, or the output cannot be written.
pub fn show_config(environment: &Environment, out: &mut impl Write) -> Result<()> {
    let config: Config = environment.load()?;
    let mut shown = serde_json::to_value(config)?;
    hide_secrets(&mut shown);
    writeln!(out, "{shown:#}\nEnvironment: {environment}")?;
    Ok(())
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text)
                        if SECRET_KEYS.contains(&key.as_str()) && !text.is_empty() =>
                    {
                        *value = json!("(hidden)");
                    }
                    value => hide_secrets(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// The result of one check.
struct CheckResult {
    name: &'static str,
    has_passed: bool,
    message: String,
}

impl CheckResult {
    fn passed(name: &'static str, message: impl Into<String>) -> Self {
        let (has_passed, message) = (true, message.into());
        Self {
            name,
            has_passed,
            message,
        }
    }

    fn failed(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            has_passed: false,
            ..Self::passed(name, message)
        }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.has_passed { "passed" } else { "FAILED" };
        let line = format!("  {status}  {:13} {}", self.name, self.message);
        f.write_str(line.trim_end())
    }
}

fn results_of(check: ConfigCheck) -> Vec<CheckResult> {
    let ConfigCheck { name, faults } = check;
    if faults.is_empty() {
        return vec![CheckResult::passed(name, "")];
    }
    let failed = faults
        .into_iter()
        .map(|fault| CheckResult::failed(name, fault));
    failed.collect()
}

fn is_check_passed(results: &[CheckResult], name: &str) -> bool {
    results
        .iter()
        .all(|result| result.has_passed || result.name != name)
}

async fn check_database(database: &Database) -> CheckResult {
    const NAME: &str = "database";
    if let Err(message) = check_wal_owner(&database.uri) {
        return CheckResult::failed(NAME, message);
    }
    if let Some(file) = sqlite_file(&database.uri).map(Path::new)
        && !file.exists()
    {
        // Opening the database would create its file.
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        return match folder.filter(|folder| !folder.is_dir()) {
            None => CheckResult::passed(NAME, "does not exist yet; the first start creates it"),
            Some(missing) => CheckResult::failed(
                NAME,
                format!(
                    "cannot be created: the folder {} does not exist; create it",
                    missing.display()
                ),
            ),
        };
    }
    let inspection = match timeout(CHECK_TIMEOUT, inspect_database(database)).await {
        Err(_) => {
            return CheckResult::failed(
                NAME,
                format!(
                    "did not respond within {CHECK_TIMEOUT:?}; check that the database of \
                     DATABASE_URL runs and is reachable"
                ),
            );
        }
        Ok(inspection) => inspection,
    };
    let DatabaseStatus {
        state,
        write_error,
        renamed_users,
    } = match inspection {
        Ok(status) => status,
        Err(error) => return CheckResult::failed(NAME, explain_error(&error)),
    };
    let names: Vec<_> = renamed_users
        .iter()
        .filter_map(|user| {
            Some(format!(
                "`{}` (was `{}`)",
                user.username,
                user.former_username.as_ref()?
            ))
        })
        .collect();
    let (renamed_count, names) = (renamed_users.len(), names.join(", "));
    if let Some(error) = write_error {
        return CheckResult::failed(
            NAME,
            format!(
                "is reachable, but accepts no writes: {error}; check the disk, and the rights of \
                 the file or of the account"
            ),
        );
    }
    match state {
        SchemaState::Pending(0) if renamed_count > 0 => CheckResult::passed(
            NAME,
            format!(
                "is reachable and migrated; accounts that were renamed, because their usernames \
                 had no letter and no digit: {renamed_count}. Their users can still log in with \
                 the former usernames. The new usernames are {names}"
            ),
        ),
        SchemaState::Pending(0) => CheckResult::passed(NAME, "is reachable and migrated"),
        SchemaState::Pending(count) if database.auto_migrate => CheckResult::passed(
            NAME,
            format!("is reachable; migrations that the next start runs: {count}"),
        ),
        SchemaState::Pending(count) => CheckResult::failed(
            NAME,
            format!(
                "is reachable; migrations that have not run: {count}; run them with `db migrate`"
            ),
        ),
        state => match state.check_usable() {
            Ok(()) => CheckResult::passed(NAME, "is reachable"),
            Err(error) => CheckResult::failed(NAME, error.to_string()),
        },
    }
}

/// The state of a reachable database.
struct DatabaseStatus {
    state: SchemaState,
    /// The error of a test write, if the database accepts no writes.
    write_error: Option<String>,
    /// The accounts whose usernames were replaced, at most 100.
    renamed_users: Vec<users::Model>,
}

async fn inspect_database(database: &Database) -> Result<DatabaseStatus> {
    let config = Database {
        connect_timeout: u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
        acquire_timeout: None,
        max_connections: 2,
        min_connections: 0,
        ..database.clone()
    };
    let db = open_pool(
        &database.uri,
        database.run_on_start.as_deref(),
        &config,
        DOCTOR_CLIENT_NAME,
    )?;
    let inspection = async {
        // The check of the pooler comes first, because it connects without the pool. The pool would
        // hide the reason behind its timeout.
        check_pooler(&db).await?;
        let state = SchemaState::read(&db).await?;
        // The test write is rolled back, so it changes nothing.
        let write_error = match state {
            SchemaState::Pending(0) => epochs::Model::check_writable_dry_run(&db).await.err(),
            _ => None,
        };
        let write_error = write_error.map(|error| error.to_string());
        let renamed_users = match state {
            SchemaState::Pending(0) => users::Model::list_renamed(&db).await?,
            _ => Vec::new(),
        };
        Ok(DatabaseStatus {
            state,
            write_error,
            renamed_users,
        })
    };
    let result = inspection.await;
    db.close().await?;
    result
}

async fn check_redis(settings: &ChannelSettings) -> CheckResult {
    const NAME: &str = "Redis";
    let Some(url) = &settings.redis_url else {
        return CheckResult::passed(NAME, "is not configured, which is right for a single node");
    };
    match timeout(
        CHECK_TIMEOUT,
        probe_redis(url, settings, DOCTOR_CLIENT_NAME),
    )
    .await
    {
        Ok(Ok(())) => CheckResult::passed(NAME, "is reachable"),
        // Redis is reachable, and the error itself states what to change.
        Ok(Err(error)) if error.to_string().contains("ACL") => {
            CheckResult::failed(NAME, error.to_string())
        }
        Ok(Err(error)) => CheckResult::failed(
            NAME,
            format!("{error}; check that the Redis of REDIS_URL runs and is reachable"),
        ),
        Err(_) => CheckResult::failed(
            NAME,
            format!(
                "did not respond within {CHECK_TIMEOUT:?}; check that the Redis of REDIS_URL runs \
                 and is reachable"
            ),
        ),
    }
}
