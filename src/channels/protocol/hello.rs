//! The first frame of a rich socket: who the client is, and what holds here.

use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::rich::INITIAL_BACKOFF_MS;
use crate::{
    models::messages::MAX_TEXT_CHARS,
    settings::{ChannelSettings, LimitSettings},
    views::format_time,
};

/// Groups on one socket of many.
pub const MAX_GROUPS_PER_SOCKET: usize = LimitSettings::MIN_SUBS_PER_10S as usize;

/// Milliseconds between two tries, at most.
const MAX_BACKOFF_MS: u32 = 20_000;

/// The first frame.
#[derive(Serialize, ToSchema)]
pub struct Hello<'a> {
    /// The version of the protocol.
    #[schema(example = 1)]
    v: u8,
    /// This connection's name, for whoever looks for it in a log.
    #[schema(example = "0f8fad5bd9cb469fa16570867728950e")]
    conn: &'a str,
    /// The life of the database in which every `seq` means something; keep it with your last `seq`.
    #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
    epoch: &'a str,
    /// Whose socket this is.
    user: UserInfo<'a>,
    /// The server's time.
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    now: String,
    /// Seconds until the socket ends, unless `auth` extends it.
    #[schema(example = 1_209_600)]
    auth_expires_in: i64,
    /// How the server notices that you are gone.
    ping: PingIntervals,
    /// When to come back after the socket was lost.
    retry_ms: RetryBackoff,
    /// What the server takes at most.
    limits: HelloLimits,
    /// What the server can do that not every server can.
    #[schema(value_type = Vec<String>, example = json!(["typing", "presence", "read", "reactions"]))]
    features: &'static [&'static str],
}

/// A user.
#[derive(Serialize, ToSchema)]
pub struct UserInfo<'a> {
    /// Theirs for good.
    #[schema(example = 1)]
    pub id: i64,
    /// By which others name them.
    #[schema(example = "ann")]
    pub username: &'a str,
    /// The name that others see.
    #[schema(example = "Ann Lee")]
    pub name: &'a str,
}

/// Seconds.
#[derive(Serialize, ToSchema)]
pub struct PingIntervals {
    /// After so many seconds of silence you are pinged.
    #[schema(example = 25)]
    every: u32,
    /// So many seconds later the socket is closed, unless you were heard of.
    #[schema(example = 10)]
    timeout: u32,
}

/// Milliseconds.
#[derive(Serialize, ToSchema)]
pub struct RetryBackoff {
    /// The first try, at random between these.
    #[schema(example = json!([0, 5000]))]
    first: [u32; 2],
    /// The upper end doubles with each try, up to this.
    #[schema(example = 20_000)]
    max: u32,
}

/// What the server takes at most.
#[derive(Serialize, ToSchema)]
pub struct HelloLimits {
    /// Bytes of a frame.
    #[schema(example = 65_536)]
    frame: usize,
    /// Characters of a message.
    #[schema(example = 8000)]
    text: usize,
    /// Groups on this socket.
    #[schema(example = 512)]
    groups: usize,
    /// Events of a group that are told again to who comes back.
    #[schema(example = 500)]
    replay: u32,
    /// Requests of one user that change something, over all sockets and the REST API.
    #[schema(example = 20)]
    sends_per_10s: u32,
}

impl<'a> Hello<'a> {
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
