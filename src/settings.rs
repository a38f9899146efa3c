//! The typed `settings:` block of `config/*.yaml`. Unknown keys are refused, so that a misspelt one
//! never runs on a default in silence.

mod checks;
mod database;
mod hosts;
mod http;
mod limits;
mod origins;
mod redis;
mod secret;

use std::sync::Arc;

use chrono::Utc;
use chrono_tz::Tz;
use loco_rs::{Error, Result, app::AppContext, config::Config, environment::Environment};
use serde::{Deserialize, Deserializer};
use url::Url;

pub use self::{
    checks::{ConfigCheck, encode_settings, is_production},
    database::{DatabaseSettings, sqlite_file},
    hosts::Host,
    http::{HttpSettings, NetworkSet},
    limits::LimitSettings,
    origins::Origins,
    redis::RedisUrl,
    secret::Secret,
};

/// The longest drain delay, in seconds. Service managers kill a process that takes much longer to stop.
const MAX_DRAIN_DELAY_SECONDS: u32 = 300;

/// Clocks of nodes that differ by more are a fault to mend, not to allow for.
const MAX_LEEWAY_SECONDS: u64 = 30;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Seconds between the word to stop (SIGTERM) and the end of new connections. The node is not ready
    /// meanwhile, so that load balancers notice.
    pub drain_delay: u32,
    /// Whether the server has Swagger UI and the documents of its API.
    pub api_docs: bool,
    /// The zone of every `HH:MM:SS`.
    pub time_zone: Tz,
    /// Where clients reach the server, if it is not what their requests say.
    #[serde(deserialize_with = "url_or_empty")]
    pub public_url: Option<Url>,
    /// Origins, besides the server's own, whose pages may open sockets with the cookie.
    pub allowed_origins: Origins,
    pub door: HttpSettings,
    pub tokens: TokenSettings,
    pub channels: ChannelSettings,
    pub limits: LimitSettings,
    /// The database that the app opens itself; never from a file, see [`DatabaseSettings::stash`].
    #[serde(skip)]
    pub database: Option<DatabaseSettings>,
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
    /// Bytes that the event buffers of all groups of this node may take. Of the groups in which nothing
    /// happened for the longest time, sockets that are behind read the log instead.
    pub buffer_bytes: usize,
    /// Seconds that a user whose last socket has gone is still taken for online: a page that is
    /// loaded again is no absence.
    pub presence_grace: u32,
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, each in a line of its own that says what to do: a key that
    /// is missing, unknown or of the wrong type; a value out of its limits; in production, also what
    /// would be regretted there. No line has a secret in it.
    pub fn load(config: &Config, environment: &Environment) -> Result<Self> {
        let (settings, checks) = Self::load_with_checks(config, environment);
        let faults = checks.into_iter().flat_map(|check| check.faults);
        let faults: Vec<_> = faults
            .map(|fault| format!("configuration: {fault}"))
            .collect();
        settings
            .filter(|_| faults.is_empty())
            .ok_or_else(|| Error::Message(faults.join("\n")))
    }

    /// The settings of a running app.
    ///
    /// # Errors
    /// When the app was not booted by [`crate::app::App`], which puts them there.
    pub fn from_context(ctx: &AppContext) -> Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| Error::string("the settings were not loaded"))
    }

    /// The server's time of day, as every message of the base contract gives it.
    #[must_use]
    pub fn time_of_day(&self) -> String {
        Utc::now()
            .with_timezone(&self.time_zone)
            .format("%H:%M:%S")
            .to_string()
    }

    /// Values out of their limits.
    fn range_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.tokens.leeway > MAX_LEEWAY_SECONDS {
            faults.push(format!(
                "settings.tokens.leeway is {} and may be {MAX_LEEWAY_SECONDS} at most",
                self.tokens.leeway
            ));
        }
        if self.drain_delay > MAX_DRAIN_DELAY_SECONDS {
            faults.push(format!(
                "settings.drain_delay is {} and may be {MAX_DRAIN_DELAY_SECONDS} at most",
                self.drain_delay
            ));
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
            ("channels.buffer_bytes", channels.buffer_bytes == 0),
            ("door.max_connections", self.door.max_connections == 0),
            (
                "door.connections_per_address",
                self.door.connections_per_address == 0,
            ),
        ] {
            if zero {
                faults.push(format!("settings.{key} must be above 0"));
            }
        }
        faults.extend(self.limits.range_fault());
        faults.extend(self.door.answer_bytes_fault());
        let has_tls = channels.redis_url.as_ref().is_some_and(RedisUrl::is_tls);
        if channels.redis_ca.is_some() && !has_tls {
            faults.push(
                "settings.channels.redis_ca_file is of no use without a REDIS_URL that begins with \
                 rediss:// or rediss+sentinel://"
                    .to_owned(),
            );
        }
        faults
    }
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
