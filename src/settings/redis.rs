//! The addresses of Redis from `REDIS_URL`, and the trusted certificates.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

/// The URL of one server, of nodes of a cluster, or of sentinels:
///
/// - `redis://user:password@host:6379`, with TLS `rediss://`,
/// - `redis://host:6379,host:6379`: nodes of a cluster, at least one of which must be up at the
///   start,
/// - `redis+sentinel://user:password@host:26379,host:26379/name` or `rediss+sentinel://`: the
///   master of that name. User and password are those of Redis. `?sentinel_username=` and
///   `?sentinel_password=` are those of the sentinels, if the sentinels need them.
///
/// Characters that are special in a URL must be percent-encoded in a password.
#[derive(Clone)]
pub struct RedisUrl {
    /// A URL for each host, at least one.
    pub servers: Vec<Url>,
    /// The name of the master, if the servers are sentinels.
    pub master: Option<String>,
}

const SCHEMES: &str = "redis://, rediss://, redis+sentinel:// or rediss+sentinel://";

const SENTINEL_PORT: u16 = 26379;

/// The text that every file with certificates contains.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// The error for a text that is not a URL of Redis. The error omits the text, which may contain a
/// password.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// The scheme is not one of Redis.
    #[error("the URL must begin with {SCHEMES}")]
    Scheme,
    /// The text is not a URL.
    #[error("not a URL ({0}); an example is redis://user:password@host:6379")]
    Url(#[from] url::ParseError),
    /// The path is not the number of a database.
    #[error("only the number of a database may follow the host, such as redis://host:6379/0")]
    Path,
    /// A URL of sentinels lacks the name of the master.
    #[error("the name of the master must follow the sentinels: redis+sentinel://host:26379/name")]
    MissingMaster,
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let (scheme, is_sentinel) = match scheme {
            "redis" | "rediss" => (scheme, false),
            "redis+sentinel" => ("redis", true),
            "rediss+sentinel" => ("rediss", true),
            _ => return Err(RedisUrlError::Scheme),
        };
        // `Url` supports one host only.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let servers = hosts
            .split(',')
            .map(|host| Url::parse(&format!("{scheme}://{user}{host}{tail}")))
            .collect::<Result<Vec<_>, _>>()?;
        if is_sentinel {
            Self::from_sentinels(servers)
        } else {
            Self::from_servers(servers)
        }
    }
}

impl RedisUrl {
    fn from_servers(servers: Vec<Url>) -> Result<Self, RedisUrlError> {
        for server in &servers {
            if !server.has_host() {
                return Err(url::ParseError::EmptyHost.into());
            }
            let database = server.path().trim_matches('/');
            if !database.bytes().all(|byte| byte.is_ascii_digit()) || server.fragment().is_some() {
                return Err(RedisUrlError::Path);
            }
        }
        let master = None;
        Ok(Self { servers, master })
    }

    fn from_sentinels(mut servers: Vec<Url>) -> Result<Self, RedisUrlError> {
        let mut master = None;
        for server in &mut servers {
            let name = server.path().trim_matches('/').to_owned();
            if name.is_empty() || name.contains('/') {
                return Err(RedisUrlError::MissingMaster);
            }
            master = Some(name);
            // The path of a sentinel's URL is not the number of a database.
            server.set_path("");
            if server.port().is_none() && server.set_port(Some(SENTINEL_PORT)).is_err() {
                return Err(url::ParseError::EmptyHost.into());
            }
        }
        Ok(Self { servers, master })
    }

    /// Returns `true` if the connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.servers
            .iter()
            .any(|server| server.scheme() == "rediss")
    }
}

/// Reads a URL of Redis. A variable that is not set arrives as an empty text.
pub(super) fn url_or_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RedisUrl>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// Reads the file of certificates, so that a missing file prevents the start.
pub(super) fn certificates_or_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<u8>>, D::Error> {
    let path = String::deserialize(deserializer)?;
    let path = path.trim();
    if path.is_empty() {
        return Ok(None);
    }
    let pem = std::fs::read(path).map_err(|error| {
        D::Error::custom(format!(
            "`{path}` cannot be read: {error}; set REDIS_CA_FILE to a PEM file, or unset it"
        ))
    })?;
    if !String::from_utf8_lossy(&pem).contains(PEM_CERTIFICATE) {
        return Err(D::Error::custom(format!(
            "`{path}` contains no `{PEM_CERTIFICATE}`; use a PEM file with certificates"
        )));
    }
    Ok(Some(pem))
}
