//! What is told at most once, and may be dropped: who types, who has read how far, who is here. It is
//! never in the log.

use std::{borrow::Cow, sync::Arc};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::to_json;

/// What happens beside the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum EphemeralEvent<'a> {
    /// It ends by itself when nothing more is heard of it, and with the message.
    #[schema(title = "Somebody writes, or has stopped")]
    Typing {
        /// Where.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// Their username.
        #[serde(borrow)]
        #[schema(example = "bob")]
        user: Cow<'a, str>,
        /// False when they have stopped.
        #[schema(example = true)]
        on: bool,
    },
    /// Yours comes too, for your other devices. In a large group, yours alone.
    #[schema(title = "Somebody has read so far")]
    Read {
        /// Where.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// Their username.
        #[serde(borrow)]
        #[schema(example = "bob")]
        user: Cow<'a, str>,
        /// The last event that they have read.
        #[schema(example = 57)]
        seq: i64,
    },
    /// Of others only, never of yourself. A large group tells how many there are instead of who.
    #[schema(title = "Somebody has come, or gone")]
    Presence {
        /// Where.
        #[serde(borrow)]
        #[schema(example = "chat_a1b2c3d4")]
        group: Cow<'a, str>,
        /// Their username.
        #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
        #[schema(example = "bob", nullable = false)]
        user: Option<Cow<'a, str>>,
        /// Whether they are here.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        #[schema(example = "online", nullable = false)]
        state: Option<PresenceState>,
        /// In a large group: how many are here.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        #[schema(nullable = false)]
        count: Option<usize>,
    },
}

/// Whether a user is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PresenceState {
    Online,
    Offline,
}

/// What a whisper is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EphemeralKind {
    Typing,
    Read,
    Presence,
}

/// A whisper on its way to the sockets: encoded once, for all of them on all nodes.
#[derive(Debug, Clone)]
pub struct EncodedEphemeral {
    /// Whom it is about; nobody, where it is a number.
    pub user: Arc<str>,
    pub kind: EphemeralKind,
    /// Of a reading: how far it goes.
    pub seq: i64,
    /// Of typing: `true` while the user types.
    pub is_typing: bool,
    frame: Utf8Bytes,
}

impl EncodedEphemeral {
    #[must_use]
    pub fn encode(whisper: &EphemeralEvent<'_>) -> Self {
        Self::with_frame(whisper, to_json(whisper).into())
    }

    /// What another node has whispered. `None` for anything else.
    #[must_use]
    pub fn decode(payload: Bytes) -> Option<Self> {
        let frame = Utf8Bytes::try_from(payload).ok()?;
        let whisper = serde_json::from_str(&frame).ok()?;
        Some(Self::with_frame(&whisper, frame.clone()))
    }

    fn with_frame(whisper: &EphemeralEvent<'_>, frame: Utf8Bytes) -> Self {
        let is_typing = matches!(whisper, EphemeralEvent::Typing { on: true, .. });
        let (user, kind, seq) = match whisper {
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

    /// As rich sockets are shown it, and other nodes are told.
    #[must_use]
    pub fn frame(&self) -> Utf8Bytes {
        self.frame.clone()
    }

    /// Whether it makes the other one out of date.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.kind == other.kind && self.user == other.user
    }
}
