//! Ephemeral events: typing, read positions and presence.
//!
//! An ephemeral event is delivered at most once, may be dropped, and is never in the log.

use std::{borrow::Cow, sync::Arc};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::to_json;

/// An ephemeral event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum EphemeralEvent<'a> {
    /// The state ends with the user's message, and by itself if no further frame `typing` arrives.
    #[schema(title = "A member types, or has stopped")]
    Typing {
        /// The name of the group.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// The username of the member.
        #[serde(borrow)]
        #[schema(example = "bob")]
        user: Cow<'a, str>,
        /// `false` when the member has stopped.
        #[schema(example = true)]
        on: bool,
    },
    /// You also receive your own read positions, for your other devices. In a large group, you receive only your own.
    #[schema(title = "The read position of a member")]
    Read {
        /// The name of the group.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// The username of the member.
        #[serde(borrow)]
        #[schema(example = "bob")]
        user: Cow<'a, str>,
        /// The `seq` of the last event that the member has read.
        #[schema(example = 57)]
        seq: i64,
    },
    /// The event is about other members, never about yourself. In a large group, the event has `count` in place of
    /// `user` and `state`.
    #[schema(title = "A member goes online or offline")]
    Presence {
        /// The name of the group.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// The username of the member.
        #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
        #[schema(example = "bob", nullable = false)]
        user: Option<Cow<'a, str>>,
        /// `online` or `offline`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        #[schema(example = "online", nullable = false)]
        state: Option<PresenceState>,
        /// The number of online members, in a large group.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        #[schema(nullable = false)]
        count: Option<usize>,
    },
}

/// The presence of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PresenceState {
    Online,
    Offline,
}

/// The kind of an ephemeral event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EphemeralKind {
    Typing,
    Read,
    Presence,
}

/// An ephemeral event as the bytes that all rich sockets of all nodes receive. It is encoded once.
#[derive(Debug, Clone)]
pub struct EncodedEphemeral {
    /// The username of the member. Empty for a number of online members.
    pub user: Arc<str>,
    pub kind: EphemeralKind,
    /// The read position. 0 for the other kinds.
    pub seq: i64,
    /// `true` for a member who types. `false` for the other kinds.
    pub is_typing: bool,
    frame: Utf8Bytes,
}

impl EncodedEphemeral {
    /// Encodes an event of this node.
    #[must_use]
    pub fn encode(event: &EphemeralEvent<'_>) -> Self {
        Self::with_frame(event, to_json(event).into())
    }

    /// Reads an ephemeral event of another node. Returns `None` for every other payload.
    #[must_use]
    pub fn decode(payload: Bytes) -> Option<Self> {
        let frame = Utf8Bytes::try_from(payload).ok()?;
        let event = serde_json::from_str(&frame).ok()?;
        Some(Self::with_frame(&event, frame.clone()))
    }

    fn with_frame(event: &EphemeralEvent<'_>, frame: Utf8Bytes) -> Self {
        let is_typing = matches!(event, EphemeralEvent::Typing { on: true, .. });
        let (user, kind, seq) = match event {
            EphemeralEvent::Typing { user, .. } => (user.as_ref(), EphemeralKind::Typing, 0),
            EphemeralEvent::Read { user, seq, .. } => (user.as_ref(), EphemeralKind::Read, *seq),
            EphemeralEvent::Presence { user, .. } => (
                user.as_deref().unwrap_or_default(),
                EphemeralKind::Presence,
                0,
            ),
        };
        Self {
            user: user.into(),
            kind,
            seq,
            is_typing,
            frame,
        }
    }

    /// Returns the frame that rich sockets and other nodes receive.
    #[must_use]
    pub fn frame(&self) -> Utf8Bytes {
        self.frame.clone()
    }

    /// Returns whether this event makes the other event outdated.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.kind == other.kind && self.user == other.user
    }
}
