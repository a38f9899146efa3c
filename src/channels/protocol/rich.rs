//! What a rich socket is shown: the frames of `chat.v1.json`.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use chrono::Utc;
use serde::Serialize;

use super::{CloseReason, to_json};
use crate::{
    channels::TooFast, models::messages::TEXT_LIMIT, settings::ChannelSettings, views::time,
};

/// The subprotocol by which a client asks for it.
pub const SUBPROTOCOL: &str = "chat.v1.json";

/// Milliseconds in which a client comes back for the first time, at random; so that not all come
/// at once.
const FIRST_RETRY: [u32; 2] = [0, 5000];

/// The same when the server restarts and all its sockets lose it.
const RESTART_RETRY: [u32; 2] = [0, 8000];

/// Milliseconds between two tries, at most.
const MAX_RETRY: u32 = 20_000;

/// After this a client may try again what could not be stored.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Groups on one socket of many.
pub const MANY_GROUPS: usize = 512;

/// A frame to a rich socket; events are apart, see [`super::event::Told`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame<'a> {
    Hello(Hello<'a>),
    Group(Group<'a>),
    Ok(Done<'a>),
    Error(Fault<'a>),
    Sync {
        group: &'a str,
        seq: i64,
    },
    Reset {
        group: &'a str,
        reason: ResetReason,
        head: i64,
    },
    Bye(Bye),
}

/// The first frame.
#[derive(Serialize)]
pub struct Hello<'a> {
    v: u8,
    /// This connection's name, for whoever looks for it in a log.
    conn: &'a str,
    epoch: &'a str,
    user: Person<'a>,
    now: String,
    /// Seconds until the socket ends, unless `auth` extends it.
    auth_expires_in: i64,
    ping: Ping,
    retry_ms: Retry,
    limits: Limits,
    features: &'static [&'static str],
}

#[derive(Serialize)]
pub struct Person<'a> {
    pub id: i64,
    pub username: &'a str,
    pub name: &'a str,
}

/// Seconds.
#[derive(Serialize)]
pub struct Ping {
    every: u32,
    timeout: u32,
}

/// Milliseconds.
#[derive(Serialize)]
pub struct Retry {
    first: [u32; 2],
    max: u32,
}

#[derive(Serialize)]
pub struct Limits {
    /// Bytes.
    frame: usize,
    /// Characters.
    text: usize,
    groups: usize,
    /// Events.
    replay: u32,
    /// Of one user, over all sockets and the REST API.
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

/// The first frame about a group.
#[derive(Serialize)]
pub struct Group<'a> {
    pub group: &'a str,
    pub title: Option<&'a str>,
    pub role: &'static str,
    pub head: i64,
    /// What comes before this is not kept; all is.
    pub floor: i64,
    pub read: i64,
    pub unread: i64,
    /// Who is here, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<&'a [String]>,
    /// How many are here: of a large group, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_count: Option<usize>,
    pub mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What comes from now on.
    Live,
    /// First what the client has missed.
    Replay,
    /// What comes from now on; what was missed is to be fetched.
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// More was missed than is replayed.
    TooFar,
    /// The client knows of events that the log does not have.
    Ahead,
    /// The numbers are those of another life of the database.
    Epoch,
}

/// The one reply to a request that was done.
#[derive(Serialize, Default)]
pub struct Done<'a> {
    pub id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cid: Option<&'a str>,
    /// It was done before; this is the first answer again.
    #[serde(skip_serializing_if = "is_false")]
    pub dup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_expires_in: Option<i64>,
    /// Groups that were asked for, among others, in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused<'a>>,
}

/// A group that a socket may not be told of.
#[derive(Serialize)]
pub struct Refused<'a> {
    group: &'a str,
    code: &'static str,
}

impl<'a> Refused<'a> {
    /// A group of strangers and one that does not exist answer alike.
    #[must_use]
    pub const fn not_member(group: &'a str) -> Self {
        Self {
            group,
            code: "not_member",
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The one reply to a request that was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault<'a> {
    /// `None` where the request had none that can be read.
    pub id: Option<i64>,
    pub code: &'static str,
    /// For a person.
    pub message: &'a str,
    /// Whether the same may go well later.
    pub retry: bool,
    pub retry_after_ms: Option<u64>,
    /// The field of the request that is at fault, where one is.
    pub field: Option<&'static str>,
    /// The group that the socket has lost, where no request asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
}

impl<'a> Fault<'a> {
    #[must_use]
    pub const fn new(code: &'static str, message: &'a str) -> Self {
        Self {
            id: None,
            code,
            message,
            retry: false,
            retry_after_ms: None,
            field: None,
            group: None,
        }
    }

    /// A socket of many groups has lost this one.
    #[must_use]
    pub const fn lost(group: &'a str, reason: CloseReason) -> Self {
        let (code, message) = match reason {
            CloseReason::GroupGone => ("gone", "The group was deleted."),
            CloseReason::Overloaded => ("unavailable", "Not at the moment; subscribe again."),
            _ => ("not_member", "You are no member of this group any more."),
        };
        Self {
            retry: matches!(reason, CloseReason::Overloaded),
            group: Some(group),
            ..Self::new(code, message)
        }
    }

    #[must_use]
    pub const fn invalid(field: &'static str, message: &'a str) -> Self {
        Self::new("invalid", message).at(field)
    }

    /// It could not be stored, or nobody knows whether it was.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retry: true,
            retry_after_ms: u64::try_from(TRY_AGAIN_AFTER.as_millis()).ok(),
            ..Self::new(
                "unavailable",
                "Not at the moment; try again with the same cid.",
            )
        }
    }

    #[must_use]
    pub fn rate_limited(TooFast(wait): TooFast) -> Self {
        Self {
            retry: true,
            retry_after_ms: u64::try_from(wait.as_millis()).ok(),
            ..Self::new("rate_limited", "Too many requests; slow down.")
        }
    }

    #[must_use]
    pub const fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    #[must_use]
    pub const fn to(mut self, id: Option<i64>) -> Self {
        self.id = id;
        self
    }
}

/// The last frame.
#[derive(Serialize)]
pub struct Bye {
    code: u16,
    reason: &'static str,
    reconnect: bool,
    /// Milliseconds, where the client should come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<[u32; 2]>,
}

impl From<CloseReason> for Bye {
    fn from(reason: CloseReason) -> Self {
        let retry_ms = match reason {
            CloseReason::Restart => RESTART_RETRY,
            _ => FIRST_RETRY,
        };
        Self {
            code: reason.code(),
            reason: reason.text(),
            reconnect: reason.may_come_back(),
            retry_ms: reason.may_come_back().then_some(retry_ms),
        }
    }
}

impl Frame<'_> {
    #[must_use]
    pub fn encode(&self) -> Utf8Bytes {
        to_json(self).into()
    }
}
