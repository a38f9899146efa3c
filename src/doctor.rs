//! `cargo loco doctor`: everything that is looked at before the server starts, and whether the
//! database and Redis are there.
//!
//! Loco's own looks only where the configuration has no fault and the database is open, which is when
//! nobody asks for a doctor. This one takes each as it is, and changes nothing.

use std::{fmt, io::Write, path::Path, time::Duration};

use loco_rs::{Error, Result, config::Config, config::Database, environment::Environment};
use migration::{SchemaState, check_pooler};
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    channels::broker::probe_redis,
    database::{open_pool, sqlite_file::check_wal_owner},
    explain::explain_error,
    models::{epochs, users},
    settings::{ChannelSettings, ConfigCheck, Settings, sqlite_file},
};

/// How long each of the others may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// The driver knows why, and has less time, so that it can say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Keys of the configuration whose values may be secrets, or have them in them.
const SECRET_KEYS: [&str; 5] = ["secret", "password", "uri", "url", "redis_url"];

/// Looks at everything, and says of each whether it is well and how to mend it, without any secret.
/// Whether all is well.
///
/// # Errors
/// When nobody takes what it says.
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
    let mut findings: Vec<CheckResult> = checks.into_iter().flat_map(results_of).collect();
    let is_named = is_check_passed(&findings, "DATABASE_URL");
    findings.push(if is_named {
        check_database(&config.database).await
    } else {
        CheckResult::failed("database", "was not tried: see DATABASE_URL")
    });
    if let Some(settings) = &settings {
        findings.push(check_redis(&settings.channels).await);
    }
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(findings.iter().all(|finding| finding.has_passed))
}

/// Shows the configuration as it is read, with its secrets hidden.
///
/// # Errors
/// When it cannot be read, or nobody takes it.
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

/// What was found of one thing.
struct CheckResult {
    name: &'static str,
    has_passed: bool,
    message: String,
}

impl CheckResult {
    fn passed(name: &'static str, told: impl Into<String>) -> Self {
        let (has_passed, message) = (true, told.into());
        Self {
            name,
            has_passed,
            message,
        }
    }

    fn failed(name: &'static str, told: impl Into<String>) -> Self {
        Self {
            has_passed: false,
            ..Self::passed(name, told)
        }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.has_passed { "passed" } else { "FAILED" };
        let line = format!("  {word}  {:13} {}", self.name, self.message);
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
        .map(|told| CheckResult::failed(name, told));
    failed.collect()
}

fn is_check_passed(findings: &[CheckResult], name: &str) -> bool {
    findings
        .iter()
        .all(|finding| finding.has_passed || finding.name != name)
}

async fn check_database(database: &Database) -> CheckResult {
    const NAME: &str = "database";
    if let Err(told) = check_wal_owner(&database.uri) {
        return CheckResult::failed(NAME, told);
    }
    if let Some(file) = sqlite_file(&database.uri).map(Path::new)
        && !file.exists()
    {
        // To open it would create it.
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        return if folder.is_none_or(Path::is_dir) {
            CheckResult::passed(NAME, "is not there yet; the first start creates it")
        } else {
            CheckResult::failed(
                NAME,
                "cannot be created: its folder is not there; create it",
            )
        };
    }
    let looked = match timeout(CHECK_TIMEOUT, inspect_database(database)).await {
        Err(_) => {
            return CheckResult::failed(NAME, format!("did not answer within {CHECK_TIMEOUT:?}"));
        }
        Ok(looked) => looked,
    };
    let DatabaseStatus {
        state,
        write_error: read_only,
        renamed_users: renamed,
    } = match looked {
        Ok(looked) => looked,
        Err(error @ Error::DB(DbErr::Conn(_) | DbErr::ConnectionAcquire(_))) => {
            let told = format!("{error}; is the one of DATABASE_URL there, and reachable?");
            return CheckResult::failed(NAME, told);
        }
        Err(error) => return CheckResult::failed(NAME, explain_error(&error)),
    };
    let names: Vec<_> = renamed
        .iter()
        .filter_map(|user| {
            Some(format!(
                "`{}` (was `{}`)",
                user.username,
                user.former_username.as_ref()?
            ))
        })
        .collect();
    let (renamed, names) = (renamed.len(), names.join(", "));
    if let Some(error) = read_only {
        return CheckResult::failed(NAME, format!("answers, and takes no writes: {error}"));
    }
    match state {
        SchemaState::Pending(0) if renamed > 0 => CheckResult::passed(
            NAME,
            format!(
                "answers, and is migrated; {renamed} accounts were renamed, because their usernames had no \
                 letter and no digit: their users can still log in by the former username. They are now \
                 {names}"
            ),
        ),
        SchemaState::Pending(0) => CheckResult::passed(NAME, "answers, and is migrated"),
        SchemaState::Pending(count) if database.auto_migrate => CheckResult::passed(
            NAME,
            format!("answers; migrations that the next start runs: {count}"),
        ),
        SchemaState::Pending(count) => CheckResult::failed(
            NAME,
            format!("answers; migrations that have not run: {count}; `db migrate` runs them"),
        ),
        state => match state.check_usable() {
            Ok(()) => CheckResult::passed(NAME, "answers"),
            Err(error) => CheckResult::failed(NAME, error.to_string()),
        },
    }
}

/// The findings about a database that answers.
struct DatabaseStatus {
    state: SchemaState,
    /// Why it takes no writes, if it takes none.
    write_error: Option<String>,
    /// The accounts whose usernames were replaced, 100 at most.
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
    let db = open_pool(&database.uri, database.run_on_start.as_deref(), &config)?;
    let looking = async {
        // First, because this connects without the pool: the pool would hide the reason behind its time-out.
        check_pooler(&db).await?;
        let state = SchemaState::read(&db).await?;
        // Nothing is changed: what is written is taken back.
        let read_only = match state {
            SchemaState::Pending(0) => epochs::Model::check_writable_dry_run(&db).await.err(),
            _ => None,
        };
        let read_only = read_only.map(|error| error.to_string());
        let renamed = match state {
            SchemaState::Pending(0) => users::Model::list_renamed(&db).await?,
            _ => Vec::new(),
        };
        Ok(DatabaseStatus {
            state,
            write_error: read_only,
            renamed_users: renamed,
        })
    };
    let looked = looking.await;
    db.close().await?;
    looked
}

async fn check_redis(settings: &ChannelSettings) -> CheckResult {
    const NAME: &str = "Redis";
    let Some(url) = &settings.redis_url else {
        return CheckResult::passed(NAME, "is not configured: there is one node");
    };
    match timeout(CHECK_TIMEOUT, probe_redis(url, settings)).await {
        Ok(Ok(())) => CheckResult::passed(NAME, "answers"),
        // It is there, and says itself what to change.
        Ok(Err(error)) if error.to_string().contains("ACL") => {
            CheckResult::failed(NAME, error.to_string())
        }
        Ok(Err(error)) => CheckResult::failed(
            NAME,
            format!("{error}; is the one of REDIS_URL there, and reachable?"),
        ),
        Err(_) => CheckResult::failed(NAME, format!("did not answer within {CHECK_TIMEOUT:?}")),
    }
}
