//! `cargo loco doctor`: everything that is looked at before the server starts, and whether the
//! database and Redis are there.
//!
//! Loco's own looks only where the configuration has no fault and the database is open, which is when
//! nobody asks for a doctor. This one takes each as it is, and changes nothing.

use std::{fmt, io::Write, path::Path, time::Duration};

use loco_rs::{Error, Result, config::Config, config::Database, environment::Environment};
use migration::{State, check_pooler};
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    channels::broker::probe_redis,
    database::{open, sqlite_file::check_log},
    explain::explain,
    models::{epochs, users},
    settings::{ChannelSettings, Check, Settings, sqlite_file},
};

/// How long each of the others may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// The driver knows why, and has less time, so that it can say.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Keys of the configuration whose values may be secrets, or have them in them.
const HIDDEN: [&str; 5] = ["secret", "password", "uri", "url", "redis_url"];

/// Looks at everything, and says of each whether it is well and how to mend it, without any secret.
/// Whether all is well.
///
/// # Errors
/// When nobody takes what it says.
pub async fn examine(environment: &Environment, out: &mut impl Write) -> Result<bool> {
    writeln!(
        out,
        "Salam {} in {environment}\n",
        env!("CARGO_PKG_VERSION")
    )?;
    let config = match environment.load() {
        Ok(config) => config,
        Err(error) => {
            let failed = Finding::failed("configuration", explain(&error));
            writeln!(out, "{failed}")?;
            return Ok(false);
        }
    };
    let (settings, checks) = Settings::checked(&config, environment);
    let mut findings: Vec<Finding> = checks.into_iter().flat_map(found).collect();
    let is_named = checks_pass(&findings, "DATABASE_URL");
    findings.push(if is_named {
        database(&config.database).await
    } else {
        Finding::failed("database", "was not tried: see DATABASE_URL")
    });
    if let Some(settings) = &settings {
        findings.push(redis(&settings.channels).await);
    }
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(findings.iter().all(|finding| finding.is_well))
}

/// Shows the configuration as it is read, with its secrets hidden.
///
/// # Errors
/// When it cannot be read, or nobody takes it.
pub fn show(environment: &Environment, out: &mut impl Write) -> Result<()> {
    let config: Config = environment.load()?;
    let mut shown = serde_json::to_value(config)?;
    hide(&mut shown);
    writeln!(out, "{shown:#}\nEnvironment: {environment}")?;
    Ok(())
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if HIDDEN.contains(&key.as_str()) && !text.is_empty() => {
                        *value = json!("(hidden)");
                    }
                    value => hide(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}

/// What was found of one thing.
struct Finding {
    name: &'static str,
    is_well: bool,
    told: String,
}

impl Finding {
    fn passed(name: &'static str, told: impl Into<String>) -> Self {
        let (is_well, told) = (true, told.into());
        Self {
            name,
            is_well,
            told,
        }
    }

    fn failed(name: &'static str, told: impl Into<String>) -> Self {
        Self {
            is_well: false,
            ..Self::passed(name, told)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_well { "passed" } else { "FAILED" };
        let line = format!("  {word}  {:13} {}", self.name, self.told);
        f.write_str(line.trim_end())
    }
}

fn found(check: Check) -> Vec<Finding> {
    let Check { name, faults } = check;
    if faults.is_empty() {
        return vec![Finding::passed(name, "")];
    }
    let failed = faults.into_iter().map(|told| Finding::failed(name, told));
    failed.collect()
}

fn checks_pass(findings: &[Finding], name: &str) -> bool {
    findings
        .iter()
        .all(|finding| finding.is_well || finding.name != name)
}

async fn database(database: &Database) -> Finding {
    const NAME: &str = "database";
    if let Err(told) = check_log(&database.uri) {
        return Finding::failed(NAME, told);
    }
    if let Some(file) = sqlite_file(&database.uri).map(Path::new)
        && !file.exists()
    {
        // To open it would create it.
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        return if folder.is_none_or(Path::is_dir) {
            Finding::passed(NAME, "is not there yet; the first start creates it")
        } else {
            Finding::failed(
                NAME,
                "cannot be created: its folder is not there; create it",
            )
        };
    }
    let looked = match timeout(ANSWER_WITHIN, look_at(database)).await {
        Err(_) => return Finding::failed(NAME, format!("did not answer within {ANSWER_WITHIN:?}")),
        Ok(looked) => looked,
    };
    let Examined {
        state,
        read_only,
        renamed,
    } = match looked {
        Ok(looked) => looked,
        Err(error @ Error::DB(DbErr::Conn(_) | DbErr::ConnectionAcquire(_))) => {
            let told = format!("{error}; is the one of DATABASE_URL there, and reachable?");
            return Finding::failed(NAME, told);
        }
        Err(error) => return Finding::failed(NAME, explain(&error)),
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
        return Finding::failed(NAME, format!("answers, and takes no writes: {error}"));
    }
    match state {
        State::Pending(0) if renamed > 0 => Finding::passed(
            NAME,
            format!(
                "answers, and is migrated; {renamed} accounts were renamed, because their usernames had no \
                 letter and no digit: their users can still log in by the former username. They are now \
                 {names}"
            ),
        ),
        State::Pending(0) => Finding::passed(NAME, "answers, and is migrated"),
        State::Pending(count) if database.auto_migrate => Finding::passed(
            NAME,
            format!("answers; migrations that the next start runs: {count}"),
        ),
        State::Pending(count) => Finding::failed(
            NAME,
            format!("answers; migrations that have not run: {count}; `db migrate` runs them"),
        ),
        state => match state.check() {
            Ok(()) => Finding::passed(NAME, "answers"),
            Err(error) => Finding::failed(NAME, error.to_string()),
        },
    }
}

/// The findings about a database that answers.
struct Examined {
    state: State,
    /// Why it takes no writes, if it takes none.
    read_only: Option<String>,
    /// The accounts whose usernames were replaced, 100 at most.
    renamed: Vec<users::Model>,
}

async fn look_at(database: &Database) -> Result<Examined> {
    let config = Database {
        connect_timeout: u64::try_from(CONNECT_WITHIN.as_millis()).unwrap_or(u64::MAX),
        acquire_timeout: None,
        max_connections: 2,
        min_connections: 0,
        ..database.clone()
    };
    let db = open(&database.uri, database.run_on_start.as_deref(), &config)?;
    let looking = async {
        // First, because this connects without the pool: the pool would hide the reason behind its time-out.
        check_pooler(&db).await?;
        let state = State::of(&db).await?;
        // Nothing is changed: what is written is taken back.
        let read_only = match state {
            State::Pending(0) => epochs::Model::try_to_write(&db).await.err(),
            _ => None,
        };
        let read_only = read_only.map(|error| error.to_string());
        let renamed = match state {
            State::Pending(0) => users::Model::list_renamed(&db).await?,
            _ => Vec::new(),
        };
        Ok(Examined {
            state,
            read_only,
            renamed,
        })
    };
    let looked = looking.await;
    db.close().await?;
    looked
}

async fn redis(settings: &ChannelSettings) -> Finding {
    const NAME: &str = "Redis";
    let Some(url) = &settings.redis_url else {
        return Finding::passed(NAME, "is not configured: there is one node");
    };
    match timeout(ANSWER_WITHIN, probe_redis(url, settings)).await {
        Ok(Ok(())) => Finding::passed(NAME, "answers"),
        // It is there, and says itself what to change.
        Ok(Err(error)) if error.to_string().contains("ACL") => {
            Finding::failed(NAME, error.to_string())
        }
        Ok(Err(error)) => Finding::failed(
            NAME,
            format!("{error}; is the one of REDIS_URL there, and reachable?"),
        ),
        Err(_) => Finding::failed(NAME, format!("did not answer within {ANSWER_WITHIN:?}")),
    }
}
