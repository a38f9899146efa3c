//! The first frame of a rich socket: who the client is, and what holds here.

use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::rich::FIRST_RETRY;
use crate::{
    models::messages::TEXT_LIMIT,
    settings::{ChannelSettings, LimitSettings},
    views::time,
};

/// Groups on one socket of many.
pub const MANY_GROUPS: usize = LimitSettings::LEAST_SUBS as usize;

/// Milliseconds between two tries, at most.
const MAX_RETRY: u32 = 20_000;

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
    user: Person<'a>,
    /// The server's time.
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    now: String,
    /// Seconds until the socket ends, unless `auth` extends it.
    #[schema(example = 1_209_600)]
    auth_expires_in: i64,
    /// How the server notices that you are gone.
    ping: Ping,
    /// When to come back after the socket was lost.
    retry_ms: Retry,
    /// What the server takes at most.
    limits: Limits,
    /// What the server can do that not every server can.
    #[schema(value_type = Vec<String>, example = json!(["typing", "presence", "read", "reactions"]))]
    features: &'static [&'static str],
}

/// A user.
#[derive(Serialize, ToSchema)]
pub struct Person<'a> {
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
pub struct Ping {
    /// After so many seconds of silence you are pinged.
    #[schema(example = 25)]
    every: u32,
    /// So many seconds later the socket is closed, unless you were heard of.
    #[schema(example = 10)]
    timeout: u32,
}

/// Milliseconds.
#[derive(Serialize, ToSchema)]
pub struct Retry {
    /// The first try, at random between these.
    #[schema(example = json!([0, 5000]))]
    first: [u32; 2],
    /// The upper end doubles with each try, up to this.
    #[schema(example = 20_000)]
    max: u32,
}

/// What the server takes at most.
#[derive(Serialize, ToSchema)]
pub struct Limits {
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
        user: Person<'a>,
        auth_expires_in: i64,
        groups: usize,
        settings: &ChannelSettings,
    ) -> Self {
        Self {
            v: 1,
            conn,
            epoch,
            user,
            now: time(&Utc::now()),
            auth_expires_in,
            ping: Ping {
                every: settings.ping_every,
                timeout: settings.pong_timeout,
            },
            retry_ms: Retry {
                first: FIRST_RETRY,
                max: MAX_RETRY,
            },
            limits: Limits {
                frame: settings.frame_limit,
                text: TEXT_LIMIT,
                groups,
                replay: settings.replay_limit,
                sends_per_10s: settings.sends_per_10s,
            },
            features: &["typing", "presence", "read", "reactions"],
        }
    }
}
