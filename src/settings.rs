//! The typed `settings:` block of `config/*.yaml`.
//!
//! Unknown keys are refused, so that a misspelt key never falls back to a default silently.

mod checks;
mod database;
mod hosts;
mod http;
mod limits;
mod metrics;
mod origins;
mod redis;
mod secret;
mod sources;

use std::sync::Arc;

use chrono::Utc;
use chrono_tz::Tz;
use loco_rs::{Error, Result, app::AppContext, config::Config, environment::Environment};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::node::NodeName;

pub use self::{
    checks::{ConfigCheck, encode_settings, is_production},
    database::{DatabaseSettings, sqlite_file},
    hosts::Host,
    http::{HttpSettings, NetworkSet},
    limits::LimitSettings,
    metrics::MetricsSettings,
    origins::Origins,
    redis::RedisUrl,
    secret::{AcceptedSecrets, Secret, hmac_sha256},
    sources::load_config,
};

/// The longest drain delay, in seconds. Service managers kill a process that takes much longer to
/// stop.
const MAX_DRAIN_DELAY_SECONDS: u32 = 300;

/// The longest wait of a start, in seconds. Later, the service manager should start the process again.
const MAX_START_TIMEOUT_SECONDS: u32 = 3600;

/// The largest tolerance between the clocks of nodes, in seconds. A larger difference should be
/// repaired.
const MAX_LEEWAY_SECONDS: u64 = 30;

/// All settings of the server.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Seconds for which the start waits for a database that is not reachable.
    pub start_timeout: u32,
    /// Seconds between the signal to stop (SIGTERM) and the end of new connections. The node is
    /// unready during this time, so that load balancers notice.
    pub drain_delay: u32,
    /// `true` if the server has Swagger UI and the API documents.
    pub api_docs: bool,
    /// The name of this node in the log and on connections. An empty name becomes the host name and
    /// the port.
    #[serde(default)]
    pub node_name: NodeName,
    /// The URL of a collector that receives the spans of requests by OTLP. With `None`, no spans are
    /// exported.
    #[serde(default, deserialize_with = "url_or_empty")]
    pub otlp_endpoint: Option<Url>,
    /// The time zone of every `HH:MM:SS`.
    pub time_zone: Tz,
    /// The URL under which clients reach the server. `None` takes it from each request.
    #[serde(deserialize_with = "url_or_empty")]
    pub public_url: Option<Url>,
    /// Other origins whose pages may open sockets with the cookie.
    pub allowed_origins: Origins,
    /// Connections, hosts and proxies.
    pub door: HttpSettings,
    /// Access and refresh tokens.
    pub tokens: TokenSettings,
    /// Sockets and the broker.
    pub channels: ChannelSettings,
    /// Limits of one client.
    pub limits: LimitSettings,
    /// Metrics and health. Without the key, the node has no metrics listener.
    #[serde(default)]
    pub metrics: MetricsSettings,
    /// The database that the app opens itself. No file contains it, see
    /// [`DatabaseSettings::stash`].
    #[serde(skip)]
    pub database: Option<DatabaseSettings>,
}

/// The settings of tokens.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// The secret of the installation, which signs all tokens.
    pub secret: Secret,
    /// Other secrets whose tokens are valid too, while the secret is replaced.
    #[serde(default)]
    pub accepted_secrets: AcceptedSecrets,
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
    /// The lifetime of an access token in seconds.
    pub access_lifetime: u32,
    /// The lifetime of a refresh token in seconds.
    pub refresh_lifetime: u32,
    /// The seconds that a socket stays open with one access token. With 0, the socket stays open as
    /// long as its session.
    pub socket_lifetime: u32,
    /// The tolerated difference of clocks in seconds, at most 30.
    pub leeway: u64,
}

/// The settings of sockets and the broker.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// The URL of Redis. With `None`, messages stay in this process.
    #[serde(deserialize_with = "redis::url_or_empty")]
    pub redis_url: Option<RedisUrl>,
    /// The trusted certificates for Redis, as PEM. `None` means Mozilla's list.
    #[serde(
        rename = "redis_ca_file",
        deserialize_with = "redis::certificates_or_empty"
    )]
    pub redis_ca: Option<Vec<u8>>,
    /// The prefix of every topic in Redis.
    pub topic_prefix: String,
    /// The largest size of a frame from a client, in bytes.
    pub frame_limit: usize,
    /// The largest number of events that a reconnected rich socket gets by replay.
    pub replay_limit: u32,
    /// The number of commands about messages, of frames `sub`, `unsub` and `auth`, and of opened event streams, that one
    /// user may send in 10 seconds.
    pub sends_per_10s: u32,
    /// Seconds between two comparisons of the rooms with the log, which find missed events.
    pub sweep_every: u32,
    /// Seconds after which a socket is closed that accepts no data.
    pub stall_timeout: u32,
    /// Seconds without data from a socket after which the socket gets a ping.
    pub ping_every: u32,
    /// Seconds within which a socket must reply to a ping.
    pub pong_timeout: u32,
    /// Seconds after the last heartbeat of a node, after which the node and its online users count
    /// as offline.
    pub presence_lease: u32,
    /// The bytes that the event buffers of all groups of this node may use.
    ///
    /// The groups with the oldest activity lose their buffers first. Their lagging sockets then
    /// read the log.
    pub buffer_bytes: usize,
    /// Seconds that a user counts as online after the user's last socket closed. A reloaded page is
    /// not an absence.
    pub presence_grace: u32,
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All faults of the configuration, each in a line with a remedy. A fault is a missing or unknown key, a wrong
    /// type, a value out of range, or in production an unsafe value. No line contains a secret.
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

    /// Returns the settings of a running app.
    ///
    /// # Errors
    /// When the app was not booted by [`crate::app::App`], which stores the settings.
    pub fn from_context(ctx: &AppContext) -> Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| Error::string("the settings were not loaded"))
    }

    /// Returns the server's time of day, as every message of the base contract contains it.
    #[must_use]
    pub fn time_of_day(&self) -> String {
        Utc::now()
            .with_timezone(&self.time_zone)
            .format("%H:%M:%S")
            .to_string()
    }

    /// Returns `true` if the server accepts only requests to the names of this machine. In development and in tests, the
    /// server accepts all names nevertheless.
    #[must_use]
    pub fn accepts_only_local_hosts(&self) -> bool {
        self.public_url.is_none() && self.door.allowed_hosts.is_empty()
    }

    /// Returns a fault for each value out of range.
    fn range_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.tokens.leeway > MAX_LEEWAY_SECONDS {
            faults.push(format!(
                "settings.tokens.leeway is {}; it must be {MAX_LEEWAY_SECONDS} or less",
                self.tokens.leeway
            ));
        }
        if self.start_timeout > MAX_START_TIMEOUT_SECONDS {
            faults.push(format!(
                "settings.start_timeout is {}; it must be {MAX_START_TIMEOUT_SECONDS} or less",
                self.start_timeout
            ));
        }
        if self.drain_delay > MAX_DRAIN_DELAY_SECONDS {
            faults.push(format!(
                "settings.drain_delay is {}; it must be {MAX_DRAIN_DELAY_SECONDS} or less",
                self.drain_delay
            ));
        }
        let channels = &self.channels;
        for (key, is_zero) in [
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
            if is_zero {
                faults.push(format!("settings.{key} is 0; it must be above 0"));
            }
        }
        faults.extend(self.limits.range_faults());
        faults.extend(self.door.answer_bytes_fault());
        faults.extend(self.metrics.canary_every_fault());
        let has_tls = channels.redis_url.as_ref().is_some_and(RedisUrl::is_tls);
        if channels.redis_ca.is_some() && !has_tls {
            faults.push(
                "settings.channels.redis_ca_file needs a REDIS_URL with TLS: begin REDIS_URL with \
                 rediss:// or rediss+sentinel://, or unset REDIS_CA_FILE"
                    .to_owned(),
            );
        }
        faults
    }
}

/// Reads a URL. A variable that is not set arrives as an empty text.
fn url_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    Url::parse(text)
        .map(Some)
        // The error omits the text, which may contain a password.
        .map_err(|error| {
            serde::de::Error::custom(format!(
                "not a URL ({error}); begin it with a scheme, such as https://chat.example"
            ))
        })
}
