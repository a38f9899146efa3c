//! The frames that a rich socket receives, as the subprotocol `chat.v1.json` defines them.

use std::{borrow::Cow, time::Duration};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{CloseReason, hello::Hello, to_json};
use crate::limits::{Overloaded, RateLimited};

/// The subprotocol that a client offers to get a rich socket.
pub const SUBPROTOCOL: &str = "chat.v1.json";

/// The range of the first reconnect delay in milliseconds.
///
/// A client chooses a random delay in the range, so that not all clients reconnect at once.
pub(super) const INITIAL_BACKOFF_MS: [u32; 2] = [0, 5000];

/// The range of the first reconnect delay after a restart, which closes all sockets of the server.
const RESTART_BACKOFF_MS: [u32; 2] = [0, 8000];

/// The time after which a client may retry a request that was not stored.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A frame to a rich socket. For events see [`super::event::EncodedEvent`].
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame<'a> {
    /// The first frame of every socket.
    #[schema(title = "User, limits and epoch")]
    Hello(Hello<'a>),
    /// The first frame of each group to which the socket is subscribed.
    #[schema(title = "Group state and replay mode")]
    Group(GroupFrame<'a>),
    /// The only reply to a request that succeeded.
    #[schema(title = "Success")]
    Ok(OkReply<'a>),
    /// The only reply to a request that failed.
    #[schema(title = "Failure")]
    Error(ErrorReply<'a>),
    /// The socket has caught up: all later events are live.
    #[schema(title = "Caught up")]
    Sync {
        /// The name of the group.
        #[schema(example = "chat_a1b2c3d4")]
        group: &'a str,
        /// The `seq` of the last event that you have received.
        #[schema(example = 58)]
        seq: i64,
    },
    /// The missed events are not replayed. Load the messages that you show from the history, and continue from `head`.
    #[schema(title = "No replay")]
    Reset {
        /// The name of the group.
        #[schema(example = "chat_a1b2c3d4")]
        group: &'a str,
        reason: ResetReason,
        /// The `seq` of the last event of the log. The next frame `event` has the `seq` after it.
        #[schema(example = 9120)]
        head: i64,
    },
    /// The last frame before the server closes the socket.
    #[schema(title = "Close notice")]
    Bye(Bye),
}

/// The first frame of a group.
#[derive(Serialize, ToSchema)]
pub struct GroupFrame<'a> {
    /// The name of the group.
    #[schema(example = "chat_a1b2c3d4")]
    pub group: &'a str,
    /// The title of the group; null if the group has no title.
    #[schema(example = "Lunch", required)]
    pub title: Option<&'a str>,
    /// Your role: `member`, `admin` or `owner`.
    #[schema(example = "member")]
    pub role: &'static str,
    /// The `seq` of the last event of the log.
    #[schema(example = 58)]
    pub head: i64,
    /// The oldest available `seq`. Currently always 0: nothing is pruned.
    #[schema(example = 0)]
    pub floor: i64,
    /// The `seq` of the last event that you have read, on any device.
    #[schema(example = 57)]
    pub read: i64,
    /// The number of messages after `read`.
    #[schema(example = 1)]
    pub unread: i64,
    /// The sorted usernames of the online members, including yours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["ann"]), nullable = false)]
    pub online: Option<&'a [String]>,
    /// The number of online members. A large group has this number in place of `online`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub online_count: Option<usize>,
    pub mode: ReplayMode,
}

/// The kind of events that follow the frame `group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(
    description = "The kind of events that follow. `live`: new events. `replay`: first the missed events, \
                   then new events. `reset`: new events; the client must load the missed events.",
    example = "replay"
)]
pub enum ReplayMode {
    /// New events follow.
    Live,
    /// The missed events follow, then new events.
    Replay,
    /// New events follow. The client must load the missed events from the history.
    Reset,
}

/// The reason why the missed events are not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(
    description = "The reason. `too_far`: you have missed more than `limits.replay` events. `ahead`: `after` \
                   is past the end of the log. `epoch`: your `after` belongs to another epoch of the database.",
    example = "too_far"
)]
pub enum ResetReason {
    /// More events were missed than the server replays.
    TooFar,
    /// The client's `after` is past the end of the log.
    Ahead,
    /// The client's `after` belongs to another epoch of the database.
    Epoch,
}

impl ResetReason {
    /// Returns the reason as clients and metrics see it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooFar => "too_far",
            Self::Ahead => "ahead",
            Self::Epoch => "epoch",
        }
    }
}

/// The only reply to a request that succeeded.
#[derive(Serialize, Default, ToSchema)]
pub struct OkReply<'a> {
    /// The `id` of the request.
    #[schema(example = 7)]
    pub id: i64,
    /// The `seq` of the event that the request created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 58, nullable = false)]
    pub seq: Option<i64>,
    /// The time at which the event was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-22T14:05:09.123Z", nullable = false)]
    pub at: Option<String>,
    /// The `cid` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "01JD3ZK8Q4", nullable = false)]
    pub cid: Option<&'a str>,
    /// `true` if the request was executed before, or changes nothing. A retry gets the first reply again.
    #[serde(skip_serializing_if = "is_false")]
    pub dup: bool,
    /// The seconds until the socket is closed, in replies to `auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub auth_expires_in: Option<i64>,
    /// The requested groups to which the socket was not subscribed, in replies to `sub`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<FailedGroup<'a>>,
}

/// A group to which a socket was not subscribed.
#[derive(Serialize, ToSchema)]
pub struct FailedGroup<'a> {
    /// The name of the group, as in the request.
    #[schema(example = "chat_a1b2c3d4")]
    group: &'a str,
    /// The reason: the code of an error.
    #[schema(example = "not_member")]
    code: &'static str,
}

impl<'a> FailedGroup<'a> {
    /// Returns the entry for a group that does not exist, or of which the user is not a member.
    ///
    /// Both cases have the same code, so a client cannot find out which groups exist.
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

/// The only reply to a request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorReply<'a> {
    /// The `id` of the request; null if the request has no readable `id`, or if the error is not a reply.
    #[schema(example = 7, required)]
    pub id: Option<i64>,
    /// The fixed code of the error, for programs.
    #[schema(example = "rate_limited")]
    pub code: &'static str,
    /// The text of the error, for people.
    #[schema(example = "Too many requests; slow down.")]
    pub message: Cow<'a, str>,
    /// `true` if the same request may succeed later.
    #[schema(example = true)]
    pub retry: bool,
    /// The milliseconds to wait before the retry, if known.
    #[schema(example = 1200, required)]
    pub retry_after_ms: Option<u64>,
    /// The invalid field of the request, if there is one.
    #[schema(required)]
    pub field: Option<&'static str>,
    /// The group whose subscription has ended, in an error that is not a reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<&'a str>,
}

impl<'a> ErrorReply<'a> {
    /// Returns an error that a retry cannot repair, without an `id`, a field or a group.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            id: None,
            code,
            message: message.into(),
            retry: false,
            retry_after_ms: None,
            field: None,
            group: None,
        }
    }

    /// Returns the error for a multi-group socket whose subscription of a group has ended.
    #[must_use]
    pub fn subscription_lost(group: &'a str, reason: CloseReason) -> Self {
        let (code, message) = match reason {
            CloseReason::GroupDeleted => ("gone", "The group was deleted."),
            CloseReason::Overloaded => ("unavailable", "Temporarily unavailable; subscribe again."),
            _ => ("not_member", "You are no longer a member of this group."),
        };
        Self {
            retry: matches!(reason, CloseReason::Overloaded),
            group: Some(group),
            ..Self::new(code, message)
        }
    }

    /// Returns the error `invalid` for a field.
    #[must_use]
    pub fn invalid(field: &'static str, message: impl Into<Cow<'a, str>>) -> Self {
        Self::new("invalid", message).with_field(field)
    }

    /// Returns the error for a request that was not stored, or whose outcome is unknown.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retry: true,
            retry_after_ms: u64::try_from(RETRY_AFTER.as_millis()).ok(),
            ..Self::new(
                "unavailable",
                "Temporarily unavailable; try again with the same cid.",
            )
        }
    }

    /// Returns the error `unavailable` of an overloaded node, with the time to wait.
    #[must_use]
    pub fn overloaded(Overloaded { retry_after }: Overloaded) -> Self {
        Self {
            retry: true,
            retry_after_ms: u64::try_from(retry_after.as_millis()).ok(),
            ..Self::new("unavailable", "The server is overloaded; try again later.")
        }
    }

    /// Returns the error `rate_limited` with the time to wait.
    #[must_use]
    pub fn rate_limited(RateLimited { retry_after }: RateLimited) -> Self {
        Self {
            retry: true,
            // One millisecond more, because the conversion rounds down.
            retry_after_ms: u64::try_from(retry_after.as_millis() + 1).ok(),
            ..Self::new("rate_limited", "Too many requests; slow down.")
        }
    }

    /// Returns the error with the invalid field.
    #[must_use]
    pub const fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Returns the error with the `id` of the request.
    #[must_use]
    pub const fn with_id(mut self, id: Option<i64>) -> Self {
        self.id = id;
        self
    }
}

/// The last frame before the server closes the socket.
#[derive(Serialize, ToSchema)]
pub struct Bye {
    /// The reason, for the close frame that follows.
    #[serde(skip)]
    #[schema(ignore)]
    pub close_reason: CloseReason,
    /// The code of the close frame that follows.
    #[schema(example = 1012)]
    code: u16,
    /// The reason, for people.
    #[schema(example = "restart")]
    reason: &'static str,
    /// `true` if the same client can reconnect with nothing changed.
    #[schema(example = true)]
    reconnect: bool,
    /// The range of the next reconnect delay in milliseconds, if the client should reconnect. Choose a random
    /// delay in the range.
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
            close_reason: reason,
            code: reason.code(),
            reason: reason.text(),
            reconnect: reason.can_reconnect(),
            retry_ms: reason.can_reconnect().then_some(retry_ms),
        }
    }
}

impl Bye {
    /// Returns the frame for a client that an overloaded node refuses. The client reconnects after `retry_after`, or up
    /// to a quarter later.
    #[must_use]
    pub fn overloaded(Overloaded { retry_after }: Overloaded) -> Self {
        let earliest = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        Self {
            retry_ms: Some([earliest, earliest.saturating_add(earliest / 4)]),
            ..CloseReason::Overloaded.into()
        }
    }
}

impl Frame<'_> {
    /// Encodes the frame as JSON.
    #[must_use]
    pub fn encode(&self) -> Utf8Bytes {
        to_json(self).into()
    }
}
