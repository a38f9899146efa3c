//! The first frame of a rich socket: the user, the limits and the epoch.

use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::rich::INITIAL_BACKOFF_MS;
use crate::{
    models::messages::MAX_TEXT_CHARS,
    settings::{ChannelSettings, LimitSettings},
    views::format_time,
};

/// The highest number of groups of one multi-group socket.
pub const MAX_GROUPS_PER_SOCKET: usize = LimitSettings::MIN_SUBS_PER_10S as usize;

/// The longest delay between two attempts to reconnect, in milliseconds.
const MAX_BACKOFF_MS: u32 = 20_000;

/// The first frame of a rich socket.
#[derive(Serialize, ToSchema)]
pub struct Hello<'a> {
    /// The version of the protocol.
    #[schema(example = 1)]
    v: u8,
    /// The id of this connection, by which operators find it in a log.
    #[schema(example = "0f8fad5bd9cb469fa16570867728950e")]
    conn: &'a str,
    /// The epoch of the database: every `seq` is valid in this epoch alone. Keep the epoch with your last `seq`.
    #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
    epoch: &'a str,
    /// The user of this socket.
    user: UserInfo<'a>,
    /// The time of the server.
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    now: String,
    /// The seconds until the server closes the socket, unless `auth` extends the time.
    #[schema(example = 1_209_600)]
    auth_expires_in: i64,
    /// The intervals by which the server detects that the client is gone.
    ping: PingIntervals,
    /// The delays before you reconnect after the socket was lost.
    retry_ms: RetryBackoff,
    /// The limits of the server.
    limits: HelloLimits,
    /// The optional features of this server.
    #[schema(value_type = Vec<String>, example = json!(["typing", "presence", "read", "reactions"]))]
    features: &'static [&'static str],
}

/// A user.
#[derive(Serialize, ToSchema)]
pub struct UserInfo<'a> {
    /// The id of the user, which never changes.
    #[schema(example = 1)]
    pub id: i64,
    /// The username of the user.
    #[schema(example = "ann")]
    pub username: &'a str,
    /// The display name of the user.
    #[schema(example = "Ann Lee")]
    pub name: &'a str,
}

/// The intervals of pings, in seconds.
#[derive(Serialize, ToSchema)]
pub struct PingIntervals {
    /// The seconds without a frame after which the server sends a ping.
    #[schema(example = 25)]
    every: u32,
    /// The seconds after a ping after which the server closes the socket, unless a frame has arrived.
    #[schema(example = 10)]
    timeout: u32,
}

/// The delays before a client reconnects, in milliseconds.
#[derive(Serialize, ToSchema)]
pub struct RetryBackoff {
    /// The range of the first delay. Choose a random delay in the range.
    #[schema(example = json!([0, 5000]))]
    first: [u32; 2],
    /// The largest upper end of the range. The upper end doubles with each attempt.
    #[schema(example = 20_000)]
    max: u32,
}

/// The limits of the server.
#[derive(Serialize, ToSchema)]
pub struct HelloLimits {
    /// The largest frame, in bytes.
    #[schema(example = 65_536)]
    frame: usize,
    /// The longest text of a message, in characters.
    #[schema(example = 8000)]
    text: usize,
    /// The highest number of groups of this socket.
    #[schema(example = 512)]
    groups: usize,
    /// The highest number of missed events of a group that the server replays.
    #[schema(example = 500)]
    replay: u32,
    /// The highest number of commands of one user in 10 s, over all sockets and the REST API.
    #[schema(example = 20)]
    sends_per_10s: u32,
}

impl<'a> Hello<'a> {
    /// Returns the first frame of a connection. `groups` is the highest number of groups of the socket.
    #[must_use]
    pub fn new(
        conn: &'a str,
        epoch: &'a str,
        user: UserInfo<'a>,
        auth_expires_in: i64,
        groups: usize,
        settings: &ChannelSettings,
    ) -> Self {
        Self {
            v: 1,
            conn,
            epoch,
            user,
            now: format_time(&Utc::now()),
            auth_expires_in,
            ping: PingIntervals {
                every: settings.ping_every,
                timeout: settings.pong_timeout,
            },
            retry_ms: RetryBackoff {
                first: INITIAL_BACKOFF_MS,
                max: MAX_BACKOFF_MS,
            },
            limits: HelloLimits {
                frame: settings.frame_limit,
                text: MAX_TEXT_CHARS,
                groups,
                replay: settings.replay_limit,
                sends_per_10s: settings.sends_per_10s,
            },
            features: &["typing", "presence", "read", "reactions"],
        }
    }
}
