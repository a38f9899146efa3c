//! The database of the configuration, and its checks.

use loco_rs::{
    Error, Result,
    config::{Config, Database},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// The URI that the framework connects to. This database stores nothing and is always reachable.
const PLACEHOLDER_URI: &str = "sqlite::memory:?cache=private";

/// The statement for the placeholder. Without it, the framework runs statements of its own.
const NOOP_STATEMENT: &str = "PRAGMA user_version";

/// The key of the stashed database in the settings. No file has such a key.
const STASH_KEY: &str = "(database)";

/// The database that the app opens itself.
///
/// The framework connects to the database of its configuration before the command is known. This
/// would create the SQLite file for `cargo loco task`, and it sends PostgreSQL parameters that
/// poolers refuse. The framework's configuration therefore names a placeholder, and the app opens
/// the real database on first use.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// The URI of `DATABASE_URL`. It may contain a password.
    pub uri: String,
    /// The statements that run on every new connection.
    pub run_on_start: Option<String>,
}

impl DatabaseSettings {
    /// Moves the database of a configuration into the settings, where [`Self::from_config`] finds
    /// it.
    ///
    /// # Errors
    /// When the settings are not a block, which another check reports.
    pub fn stash(config: &mut Config) -> Result<()> {
        if config.database.uri == PLACEHOLDER_URI {
            return Ok(());
        }
        let stashed = Self {
            uri: std::mem::replace(&mut config.database.uri, PLACEHOLDER_URI.to_owned()),
            run_on_start: config
                .database
                .run_on_start
                .replace(NOOP_STATEMENT.to_owned())
                .filter(|statements| statements != NOOP_STATEMENT),
        };
        let mut block = super::checks::decode_settings(config)
            .settings
            .clone()
            .unwrap_or_default();
        let fields = block.as_object_mut();
        let fields = fields.ok_or_else(|| Error::string("the block `settings:` is missing"))?;
        fields.insert(STASH_KEY.to_owned(), serde_json::to_value(stashed)?);
        config.settings = Some(block);
        Ok(())
    }

    /// Returns the database of a configuration, stashed or not.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let decoded = super::checks::decode_settings(config);
        let mut block = decoded.settings.clone().unwrap_or_default();
        Self::take_stashed(config, &mut block).unwrap_or_else(|| Self {
            uri: config.database.uri.clone(),
            run_on_start: config.database.run_on_start.clone(),
        })
    }

    /// Removes the stashed database from the settings and returns it.
    ///
    /// Returns `None` if there is none, or if the configuration now names another database.
    pub(super) fn take_stashed(config: &Config, block: &mut Value) -> Option<Self> {
        let stashed = block.as_object_mut()?.remove(STASH_KEY)?;
        let stashed = serde_json::from_value(stashed).ok();
        stashed.filter(|_| config.database.uri == PLACEHOLDER_URI)
    }

    /// Describes the location of the database for an operator, without the password.
    #[must_use]
    pub fn describe(&self) -> String {
        match (sqlite_file(&self.uri), Url::parse(&self.uri)) {
            (Some(file), _) => format!("the file {file}"),
            (None, Ok(mut url)) if url.has_host() => {
                let name = url.path().trim_start_matches('/').to_owned();
                // Setting both succeeds for a URL with a host.
                let _ = (url.set_username(""), url.set_password(None));
                let host = url.host_str().unwrap_or_default();
                let port = url
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                format!("the database {name} at {host}{port}")
            }
            _ => "the database".to_owned(),
        }
    }
}

const DATABASE_URL_HINT: &str = "such as postgres://user:password@host:5432/name or \
                    sqlite://file.sqlite?mode=rwc";

/// Returns the faults of the database in the configuration.
///
/// The texts omit the URL, which may contain a password, and parts of a malformed URL.
pub(super) fn faults(config: &Config, in_production: bool) -> Vec<String> {
    let database: &Database = &config.database;
    let settings = DatabaseSettings::from_config(config);
    let uri = settings.uri.trim();
    let mut faults = Vec::new();
    if uri.is_empty() {
        faults.push(format!(
            "DATABASE_URL is not set; set it to the URL of a database, {DATABASE_URL_HINT}"
        ));
    } else if !["sqlite:", "postgres:", "postgresql:"]
        .iter()
        .any(|scheme| uri.starts_with(scheme))
    {
        faults.push(format!(
            "DATABASE_URL must begin with postgres:// or sqlite://, {DATABASE_URL_HINT}"
        ));
    }
    if !uri.starts_with("sqlite:")
        && faults.is_empty()
        && let Err(error) = Url::parse(uri)
    {
        // The driver's error would contain the whole URL with its password.
        faults.push(format!(
            "DATABASE_URL is not a URL ({error}); percent-encode special characters in the password"
        ));
    }
    if database.max_connections == 0 {
        faults.push("database.max_connections is 0; it must be above 0".to_owned());
    }
    if !in_production {
        return faults;
    }
    if is_in_memory(uri) {
        faults.push(format!(
            "DATABASE_URL is an in-memory database, which loses all data at a restart; use a file \
             or a server, {DATABASE_URL_HINT}"
        ));
    } else if is_for_development(uri) {
        faults.push(
            "DATABASE_URL has the name of a development or test database; use a separate database \
             with another name in production"
                .to_owned(),
        );
    }
    for (is_set, key, effect) in [
        (
            database.dangerously_truncate,
            "dangerously_truncate",
            "empties all tables",
        ),
        (
            database.dangerously_recreate,
            "dangerously_recreate",
            "drops all tables",
        ),
    ] {
        if is_set {
            faults.push(format!(
                "database.{key} is true, which {effect} at each start; remove it from the \
                 configuration"
            ));
        }
    }
    faults
}

/// Returns the path and the query of an SQLite URI, split as the driver splits them.
fn sqlite_parts(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(rest.split_once('?').unwrap_or((rest, "")))
}

/// Returns the file of an SQLite database that has a file.
#[must_use]
pub fn sqlite_file(uri: &str) -> Option<&str> {
    let (path, _) = sqlite_parts(uri)?;
    (!is_in_memory(uri)).then_some(path)
}

fn is_in_memory(uri: &str) -> bool {
    sqlite_parts(uri).is_some_and(|(path, query)| {
        matches!(path, "" | ":memory:") || query.split('&').any(|pair| pair == "mode=memory")
    })
}

/// Returns `true` if the name is or ends in a word for other environments, such as
/// `salam_development`.
fn is_for_development(uri: &str) -> bool {
    let url = Url::parse(uri).ok();
    let name = match (sqlite_parts(uri), &url) {
        (Some((path, _)), _) => path.rsplit(['/', '\\']).next(),
        (None, Some(url)) => url.path().rsplit('/').next(),
        (None, None) => None,
    };
    let name_stem = name.and_then(|name| name.split('.').next()).unwrap_or("");
    let suffix = name_stem.rsplit(['_', '-']).next().unwrap_or("");
    ["development", "dev", "test", "tests"]
        .iter()
        .any(|other| suffix.eq_ignore_ascii_case(other))
}
