//! Which database it is, and what must not be done to it.

use loco_rs::config::Database;
use url::Url;

/// How long a statement waits for a lock on PostgreSQL.
const LOCK_TIMEOUT: &str = "3s";

/// How long a transaction on PostgreSQL may do nothing.
const IDLE_TIMEOUT: &str = "15s";

const MEND: &str = "such as postgres://user:password@host:5432/name or \
                    sqlite://file.sqlite?mode=rwc";

/// What is wrong with the database of the configuration. Without its URL, which may have a password
/// in it, or a part of one where the URL is malformed.
pub(super) fn faults(database: &Database, in_production: bool) -> Vec<String> {
    let uri = database.uri.trim();
    let mut faults = Vec::new();
    if uri.is_empty() {
        faults.push(format!("DATABASE_URL is not set; it names one, {MEND}"));
    } else if !["sqlite:", "postgres:", "postgresql:"]
        .iter()
        .any(|scheme| uri.starts_with(scheme))
    {
        faults.push(format!(
            "DATABASE_URL must begin with postgres:// or sqlite://, {MEND}"
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
             a server, {MEND}"
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

/// The URI of a PostgreSQL with limits for whoever holds a lock, or waits for one: a node that has
/// stopped in the middle of a transaction must not stop the others. And without its compiler (JIT), which
/// takes longer for a statement about a large group than the statement does. One that has `options` of its
/// own is left as it is; an empty one keeps them away altogether, as some poolers want it.
#[must_use]
pub fn with_lock_limits(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else {
        return uri.to_owned();
    };
    if !url.scheme().starts_with("postgres") {
        return uri.to_owned();
    }
    let is_options = |name: &str| name == "options" || name.starts_with("options[");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if !pairs.iter().any(|(name, _)| is_options(name)) {
        url.query_pairs_mut()
            .append_pair("options[lock_timeout]", LOCK_TIMEOUT)
            .append_pair("options[idle_in_transaction_session_timeout]", IDLE_TIMEOUT)
            .append_pair("options[jit]", "off");
        return url.to_string();
    }
    let kept = pairs
        .iter()
        .filter(|(name, value)| name != "options" || !value.is_empty());
    let kept: Vec<_> = kept.collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.to_string()
}
