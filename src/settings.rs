//! The typed `settings:` block of `config/*.yaml`. Unknown keys are refused, so that a misspelt one
//! never runs on a default in silence.

mod door;
mod hosts;
mod limits;
mod redis;

use std::sync::Arc;

use chrono::Utc;
use chrono_tz::Tz;
use loco_rs::{
    Error, Result,
    app::AppContext,
    config::{Config, Database},
    environment::Environment,
};
use serde::{Deserialize, Deserializer};
use url::Url;

pub use self::{
    door::{DoorSettings, Networks},
    hosts::Host,
    limits::LimitSettings,
    redis::RedisUrl,
};

/// What development secrets begin with, and what production refuses.
const DEVELOPMENT_MARK: &str = "development-only-";

/// HMAC-SHA256 wants a key of at least its own output, 32 bytes (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Clocks of nodes that differ by more are a fault to mend, not to allow for.
const MAX_LEEWAY_SECONDS: u64 = 30;

/// How long a statement waits for a lock on PostgreSQL.
const LOCK_TIMEOUT: &str = "3s";

/// How long a transaction on PostgreSQL may do nothing.
const IDLE_TIMEOUT: &str = "15s";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone of every `HH:MM:SS`.
    pub time_zone: Tz,
    /// Where clients reach the server, if it is not what their requests say.
    #[serde(deserialize_with = "url_or_empty")]
    pub public_url: Option<Url>,
    /// Origins, besides the server's own, whose pages may open sockets with the cookie.
    pub allowed_origins: Vec<Url>,
    pub door: DoorSettings,
    pub tokens: TokenSettings,
    pub channels: ChannelSettings,
    pub limits: LimitSettings,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    pub secret: Secret,
    pub issuer: String,
    pub audience: String,
    /// Seconds.
    pub access_lifetime: u32,
    /// Seconds.
    pub refresh_lifetime: u32,
    /// Seconds that a socket stays by one access token; 0: as long as its session.
    pub socket_lifetime: u32,
    /// Seconds, at most 30.
    pub leeway: u64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// `None`: messages stay in this process.
    #[serde(deserialize_with = "redis::url_or_empty")]
    pub redis_url: Option<RedisUrl>,
    /// The certificates, PEM, of those who may have signed that of Redis. `None`: Mozilla's list.
    #[serde(
        rename = "redis_ca_file",
        deserialize_with = "redis::certificates_or_empty"
    )]
    pub redis_ca: Option<Vec<u8>>,
    /// Begins the name of every topic in Redis.
    pub topic_prefix: String,
    /// Bytes of one frame from a client.
    pub frame_limit: usize,
    /// Events that a rich socket is given again when it comes back.
    pub replay_limit: u32,
    /// Messages, edits and so on that one user may send in 10 seconds.
    pub sends_per_10s: u32,
    /// Seconds between two looks whether a group's log has gone on unheard.
    pub sweep_every: u32,
    /// Seconds after which a socket that takes nothing of what it is told is closed.
    pub stall_timeout: u32,
    /// Seconds of silence after which a socket is pinged.
    pub ping_every: u32,
    /// Seconds in which a pinged socket must be heard of.
    pub pong_timeout: u32,
    /// Seconds after which a node that was not heard of is taken for gone, with all who were online
    /// there.
    pub presence_lease: u32,
    /// Seconds that a user whose last socket has gone is still taken for online: a page that is
    /// loaded again is no absence.
    pub presence_grace: u32,
}

/// A text that no log and no error message shows: it cannot be printed.
#[derive(Clone, Deserialize)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Settings {
    /// Reads and checks the `settings:` block.
    ///
    /// # Errors
    /// A key that is missing, unknown or of the wrong type; a value out of its limits; in
    /// production, a development secret. The text says which and what to do.
    pub fn load(config: &Config, environment: &Environment) -> Result<Self> {
        let block = config.settings.clone().unwrap_or_default();
        let settings: Self =
            serde_path_to_error::deserialize(block).map_err(|error| {
                match error.path().to_string().as_str() {
                    "." => refuse(&format!("the block `settings:`: {}", error.inner())),
                    path => refuse(&format!("settings.{path}: {}", error.inner())),
                }
            })?;
        settings.check(environment)?;
        check_database(&config.database)?;
        Ok(settings)
    }

    /// The settings of a running app.
    ///
    /// # Errors
    /// When the app was not booted by [`crate::app::App`], which puts them there.
    pub fn of(ctx: &AppContext) -> Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| Error::string("the settings were not loaded"))
    }

    /// The server's time of day, as every message of the base contract gives it.
    #[must_use]
    pub fn clock(&self) -> String {
        Utc::now()
            .with_timezone(&self.time_zone)
            .format("%H:%M:%S")
            .to_string()
    }

    fn check(&self, environment: &Environment) -> Result<()> {
        let secret = self.tokens.secret.expose();
        if secret.len() < MIN_SECRET_BYTES {
            return Err(refuse(&format!(
                "JWT_SECRET has {} bytes and needs at least {MIN_SECRET_BYTES}; \
                 `openssl rand -base64 48` makes a good one",
                secret.len()
            )));
        }
        if *environment == Environment::Production && secret.starts_with(DEVELOPMENT_MARK) {
            return Err(refuse(
                "JWT_SECRET is the public development value; \
                 `openssl rand -base64 48` makes one of your own",
            ));
        }
        if self.tokens.leeway > MAX_LEEWAY_SECONDS {
            return Err(refuse(&format!(
                "settings.tokens.leeway is {} and may be {MAX_LEEWAY_SECONDS} at most",
                self.tokens.leeway
            )));
        }
        let channels = &self.channels;
        for (key, zero) in [
            ("tokens.access_lifetime", self.tokens.access_lifetime == 0),
            ("tokens.refresh_lifetime", self.tokens.refresh_lifetime == 0),
            ("channels.frame_limit", channels.frame_limit == 0),
            ("channels.replay_limit", channels.replay_limit == 0),
            ("channels.sends_per_10s", channels.sends_per_10s == 0),
            ("channels.sweep_every", channels.sweep_every == 0),
            ("channels.stall_timeout", channels.stall_timeout == 0),
            ("channels.ping_every", channels.ping_every == 0),
            ("channels.pong_timeout", channels.pong_timeout == 0),
            ("channels.presence_lease", channels.presence_lease == 0),
            ("door.max_connections", self.door.max_connections == 0),
            (
                "door.connections_per_address",
                self.door.connections_per_address == 0,
            ),
        ] {
            if zero {
                return Err(refuse(&format!("settings.{key} must be above 0")));
            }
        }
        if let Some(fault) = self.limits.fault() {
            return Err(refuse(&fault));
        }
        check_scheme("PUBLIC_URL", self.public_url.as_ref(), &["http", "https"])?;
        let has_tls = channels.redis_url.as_ref().is_some_and(RedisUrl::is_tls);
        if channels.redis_ca.is_some() && !has_tls {
            return Err(refuse(
                "settings.channels.redis_ca_file is of no use without a REDIS_URL that begins with \
                 rediss:// or rediss+sentinel://",
            ));
        }
        for origin in &self.allowed_origins {
            check_scheme("settings.allowed_origins", Some(origin), &["http", "https"])?;
            if origin.as_str() != format!("{}/", origin.origin().ascii_serialization()) {
                return Err(refuse(&format!(
                    "settings.allowed_origins: `{origin}` is more than scheme, host and port"
                )));
            }
        }
        Ok(())
    }
}

fn check_scheme(name: &str, url: Option<&Url>, schemes: &[&str]) -> Result<()> {
    match url {
        Some(url) if !schemes.contains(&url.scheme()) || !url.has_host() => Err(refuse(&format!(
            "{name} must be a URL that begins with {}://",
            schemes.join(":// or ")
        ))),
        _ => Ok(()),
    }
}

fn check_database(database: &Database) -> Result<()> {
    if !["sqlite:", "postgres:", "postgresql:"]
        .iter()
        .any(|scheme| database.uri.starts_with(scheme))
    {
        return Err(refuse(
            "DATABASE_URL must begin with postgres:// or sqlite://, such as \
             postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc",
        ));
    }
    if database.max_connections == 0 {
        return Err(refuse("database.max_connections must be above 0"));
    }
    Ok(())
}

/// The URI of a PostgreSQL with limits for whoever holds a lock, or waits for one: a node that has
/// stopped in the middle of a transaction must not stop the others. One that has `options` of its
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
            .append_pair("options[idle_in_transaction_session_timeout]", IDLE_TIMEOUT);
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

fn refuse(text: &str) -> Error {
    Error::Message(format!("configuration: {text}"))
}

/// A variable that is not set arrives as an empty text.
fn url_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    Url::parse(text)
        .map(Some)
        // Without the text itself, which may have a password in it.
        .map_err(|error| {
            serde::de::Error::custom(format!(
                "not a URL ({error}); it begins with its scheme, such as https://"
            ))
        })
}
