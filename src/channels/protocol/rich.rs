//! What a rich socket is shown: the frames of `chat.v1.json`.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{CloseReason, hello::Hello, to_json};
use crate::limits::RateLimited;

/// The subprotocol by which a client asks for it.
pub const SUBPROTOCOL: &str = "chat.v1.json";

/// Milliseconds in which a client comes back for the first time, at random; so that not all come
/// at once.
pub(super) const INITIAL_BACKOFF_MS: [u32; 2] = [0, 5000];

/// The same when the server restarts and all its sockets lose it.
const RESTART_BACKOFF_MS: [u32; 2] = [0, 8000];

/// After this a client may try again what could not be stored.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A frame to a rich socket; events are apart, see [`super::event::Told`].
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame<'a> {
    /// The first frame of every socket.
    #[schema(title = "Who you are, and what holds here")]
    Hello(Hello<'a>),
    /// The first frame about each group that the socket is subscribed to.
    #[schema(title = "A group, and what comes next of it")]
    Group(GroupFrame<'a>),
    /// The one reply to a request that was done.
    #[schema(title = "Done")]
    Ok(OkReply<'a>),
    /// The one reply to a request that was not done.
    #[schema(title = "Not done")]
    Error(ErrorReply<'a>),
    /// All that was missed has been told: what comes now happens now.
    #[schema(title = "Live from here")]
    Sync {
        /// Its name.
        #[schema(example = "chat_a1b2c3d4")]
        group: &'a str,
        /// The last event that you have been told.
        #[schema(example = 58)]
        seq: i64,
    },
    /// What you have missed is not told: fetch what you need of the history, and go on from `head`.
    #[schema(title = "Too much was missed")]
    Reset {
        /// Its name.
        #[schema(example = "chat_a1b2c3d4")]
        group: &'a str,
        reason: ResetReason,
        /// The last event of the log; the next that comes is the one after it.
        #[schema(example = 9120)]
        head: i64,
    },
    /// The last frame before the server closes the socket.
    #[schema(title = "Goodbye")]
    Bye(Bye),
}

/// The first frame about a group.
#[derive(Serialize, ToSchema)]
pub struct GroupFrame<'a> {
    /// Its name.
    #[schema(example = "chat_a1b2c3d4")]
    pub group: &'a str,
    /// Null where it has none.
    #[schema(example = "Lunch", required)]
    pub title: Option<&'a str>,
    /// Yours: `member`, `admin` or `owner`.
    #[schema(example = "member")]
    pub role: &'static str,
    /// The last event of the log.
    #[schema(example = 58)]
    pub head: i64,
    /// What comes before this is not kept; all is.
    #[schema(example = 0)]
    pub floor: i64,
    /// The last event that you have read, on any device.
    #[schema(example = 57)]
    pub read: i64,
    /// Messages after it.
    #[schema(example = 1)]
    pub unread: i64,
    /// Who is here: usernames in order, yours among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["ann"]), nullable = false)]
    pub online: Option<&'a [String]>,
    /// How many are here: of a large group, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub online_count: Option<usize>,
    pub mode: ReplayMode,
}

/// What comes next of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(
    description = "What comes next: `live`, what happens from now on; `replay`, first what you have \
                   missed; `reset`, what happens from now on, and what you have missed is to be fetched.",
    example = "replay"
)]
pub enum ReplayMode {
    /// What comes from now on.
    Live,
    /// First what the client has missed.
    Replay,
    /// What comes from now on; what was missed is to be fetched.
    Reset,
}

/// Why what was missed is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(
    description = "`too_far`: you have missed more than `limits.replay`; `ahead`: you speak of events \
                   that the log does not have; `epoch`: your numbers are those of another life of the database.",
    example = "too_far"
)]
pub enum ResetReason {
    /// More was missed than a socket is told again.
    TooFar,
    /// The client speaks of events that the log does not have.
    Ahead,
    /// The numbers are those of another life of the database.
    Epoch,
}

/// The one reply to a request that was done.
#[derive(Serialize, Default, ToSchema)]
pub struct OkReply<'a> {
    /// That of the request.
    #[schema(example = 7)]
    pub id: i64,
    /// The number of the event that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 58, nullable = false)]
    pub seq: Option<i64>,
    /// When it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-22T14:05:09.123Z", nullable = false)]
    pub at: Option<String>,
    /// That of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "01JD3ZK8Q4", nullable = false)]
    pub cid: Option<&'a str>,
    /// It was done before; this is the first answer again.
    #[serde(skip_serializing_if = "is_false")]
    pub dup: bool,
    /// To `auth`: seconds until the socket ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub auth_expires_in: Option<i64>,
    /// To `sub`: groups that were asked for, among others, in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<FailedGroup<'a>>,
}

/// A group that a socket may not be told of.
#[derive(Serialize, ToSchema)]
pub struct FailedGroup<'a> {
    /// Its name, as you gave it.
    #[schema(example = "chat_a1b2c3d4")]
    group: &'a str,
    /// Why: the code of an error.
    #[schema(example = "not_member")]
    code: &'static str,
}

impl<'a> FailedGroup<'a> {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorReply<'a> {
    /// That of the request; null where it had none that can be read.
    #[schema(example = 7, required)]
    pub id: Option<i64>,
    /// For a program: a slug that does not change.
    #[schema(example = "rate_limited")]
    pub code: &'static str,
    /// For a person.
    #[schema(example = "Too many requests; slow down.")]
    pub message: &'a str,
    /// Whether the same may go well later.
    #[schema(example = true)]
    pub retry: bool,
    /// Milliseconds until then, where they are known.
    #[schema(example = 1200, required)]
    pub retry_after_ms: Option<u64>,
    /// The field of the request that is at fault, where one is.
    #[schema(required)]
    pub field: Option<&'static str>,
    /// The group that the socket has lost, where no request asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<&'a str>,
}

impl<'a> ErrorReply<'a> {
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
    pub const fn subscription_lost(group: &'a str, reason: CloseReason) -> Self {
        let (code, message) = match reason {
            CloseReason::GroupDeleted => ("gone", "The group was deleted."),
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
        Self::new("invalid", message).with_field(field)
    }

    /// It could not be stored, or nobody knows whether it was.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retry: true,
            retry_after_ms: u64::try_from(RETRY_AFTER.as_millis()).ok(),
            ..Self::new(
                "unavailable",
                "Not at the moment; try again with the same cid.",
            )
        }
    }

    #[must_use]
    pub fn rate_limited(RateLimited(wait): RateLimited) -> Self {
        Self {
            retry: true,
            // Not one too few.
            retry_after_ms: u64::try_from(wait.as_millis() + 1).ok(),
            ..Self::new("rate_limited", "Too many requests; slow down.")
        }
    }

    #[must_use]
    pub const fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    #[must_use]
    pub const fn with_id(mut self, id: Option<i64>) -> Self {
        self.id = id;
        self
    }
}

/// The last frame.
#[derive(Serialize, ToSchema)]
pub struct Bye {
    /// That of the close which follows.
    #[schema(example = 1012)]
    code: u16,
    /// For a person.
    #[schema(example = "restart")]
    reason: &'static str,
    /// Whether to come back without anything else changing.
    #[schema(example = true)]
    reconnect: bool,
    /// Milliseconds, where the client should come back: the first try, at random between these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!([0, 8000]), nullable = false)]
    retry_ms: Option<[u32; 2]>,
}

impl From<CloseReason> for Bye {
    fn from(reason: CloseReason) -> Self {
        let retry_ms = match reason {
            CloseReason::ServerRestart => RESTART_BACKOFF_MS,
            _ => INITIAL_BACKOFF_MS,
        };
        Self {
            code: reason.code(),
            reason: reason.text(),
            reconnect: reason.can_reconnect(),
            retry_ms: reason.can_reconnect().then_some(retry_ms),
        }
    }
}

impl Frame<'_> {
    #[must_use]
    pub fn encode(&self) -> Utf8Bytes {
        to_json(self).into()
    }
}
