//! Which database it is, and what must not be done to it.

use loco_rs::{
    Error, Result,
    config::{Config, Database},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// The address that the framework is given to connect to: nothing lasts there, and nobody can be away.
const PLACEHOLDER_URI: &str = "sqlite::memory:?cache=private";

/// A statement for the placeholder; without one the framework has its own.
const NOOP_STATEMENT: &str = "PRAGMA user_version";

/// Where a database is put aside in the settings. No file has such a key.
const STASH_KEY: &str = "(database)";

/// The database that the app opens itself.
///
/// The framework connects to the database of its configuration before a command is known. That would create
/// the file of SQLite for `cargo loco task`, and sends PostgreSQL parameters that poolers refuse. So its
/// configuration names a placeholder, and the app opens the real database on first use.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// That of `DATABASE_URL`. It may have a password in it.
    pub uri: String,
    /// Statements for every new connection.
    pub run_on_start: Option<String>,
}

impl DatabaseSettings {
    /// Puts the database of a configuration aside, where [`Self::of`] finds it.
    ///
    /// # Errors
    /// When the settings are not a block, as another check says.
    pub fn stash(config: &mut Config) -> Result<()> {
        if config.database.uri == PLACEHOLDER_URI {
            return Ok(());
        }
        let aside = Self {
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
        fields.insert(STASH_KEY.to_owned(), serde_json::to_value(aside)?);
        config.settings = Some(block);
        Ok(())
    }

    /// The database of a configuration, put aside or not.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let unpacked = super::checks::decode_settings(config);
        let mut block = unpacked.settings.clone().unwrap_or_default();
        Self::take_stashed(config, &mut block).unwrap_or_else(|| Self {
            uri: config.database.uri.clone(),
            run_on_start: config.database.run_on_start.clone(),
        })
    }

    /// Takes what was put aside out of the settings of a configuration. `None` where there is nothing, or the
    /// configuration names another database by now.
    pub(super) fn take_stashed(config: &Config, block: &mut Value) -> Option<Self> {
        let aside = block.as_object_mut()?.remove(STASH_KEY)?;
        let aside = serde_json::from_value(aside).ok();
        aside.filter(|_| config.database.uri == PLACEHOLDER_URI)
    }

    /// What an operator may read: where it is, without its password.
    #[must_use]
    pub fn describe(&self) -> String {
        match (sqlite_file(&self.uri), Url::parse(&self.uri)) {
            (Some(file), _) => format!("the file {file}"),
            (None, Ok(mut url)) if url.has_host() => {
                let name = url.path().trim_start_matches('/').to_owned();
                // A URL with a host takes both.
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

/// What is wrong with the database of the configuration. Without its URL, which may have a password
/// in it, or a part of one where the URL is malformed.
pub(super) fn faults(config: &Config, in_production: bool) -> Vec<String> {
    let database: &Database = &config.database;
    let real = DatabaseSettings::from_config(config);
    let uri = real.uri.trim();
    let mut faults = Vec::new();
    if uri.is_empty() {
        faults.push(format!(
            "DATABASE_URL is not set; it names one, {DATABASE_URL_HINT}"
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
        // The driver would say the same with the whole URL, its password included.
        faults.push(format!(
            "DATABASE_URL is not a URL ({error}); what is special in one stands percent-encoded in a \
             password"
        ));
    }
    if database.max_connections == 0 {
        faults.push("database.max_connections must be above 0".to_owned());
    }
    if !in_production {
        return faults;
    }
    if is_in_memory(uri) {
        faults.push(format!(
            "DATABASE_URL keeps everything in memory, to be lost at the next start; name a file or \
             a server, {DATABASE_URL_HINT}"
        ));
    } else if is_for_development(uri) {
        faults.push(
            "DATABASE_URL names a database of development or of the tests; give production one of \
             its own, by another name"
                .to_owned(),
        );
    }
    for (is_set, key, does) in [
        (
            database.dangerously_truncate,
            "dangerously_truncate",
            "empties every table",
        ),
        (
            database.dangerously_recreate,
            "dangerously_recreate",
            "drops every table",
        ),
    ] {
        if is_set {
            faults.push(format!(
                "database.{key} {does} at each start; take it out of the configuration"
            ));
        }
    }
    faults
}

/// The path and the query of the URI of an SQLite, as its driver takes it apart.
fn sqlite_parts(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(rest.split_once('?').unwrap_or((rest, "")))
}

/// The file of an SQLite that has one.
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

/// Whether the name is, or ends in, the word for what is not production: `salam_development`.
fn is_for_development(uri: &str) -> bool {
    let url = Url::parse(uri).ok();
    let name = match (sqlite_parts(uri), &url) {
        (Some((path, _)), _) => path.rsplit(['/', '\\']).next(),
        (None, Some(url)) => url.path().rsplit('/').next(),
        (None, None) => None,
    };
    let stem = name.and_then(|name| name.split('.').next()).unwrap_or("");
    let word = stem.rsplit(['_', '-']).next().unwrap_or("");
    ["development", "dev", "test", "tests"]
        .iter()
        .any(|other| word.eq_ignore_ascii_case(other))
}
