//! What is told at most once, and may be dropped: who types, who has read how far. It is never in
//! the log.

use std::{borrow::Cow, sync::Arc};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use serde::{Deserialize, Serialize};

use super::to_json;

/// What happens beside the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Whisper<'a> {
    Typing {
        #[serde(borrow)]
        group: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
        on: bool,
    },
    Read {
        #[serde(borrow)]
        group: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
        seq: i64,
    },
}

/// A whisper on its way to the sockets: encoded once, for all of them on all nodes.
#[derive(Debug, Clone)]
pub struct Whispered {
    /// Whose typing or reading it is.
    pub user: Arc<str>,
    pub is_typing: bool,
    frame: Utf8Bytes,
}

impl Whispered {
    #[must_use]
    pub fn new(whisper: &Whisper<'_>) -> Self {
        Self::of(whisper, to_json(whisper).into())
    }

    /// What another node has whispered. `None` for anything else.
    #[must_use]
    pub fn decode(payload: Bytes) -> Option<Self> {
        let frame = Utf8Bytes::try_from(payload).ok()?;
        let whisper = serde_json::from_str(&frame).ok()?;
        Some(Self::of(&whisper, frame.clone()))
    }

    fn of(whisper: &Whisper<'_>, frame: Utf8Bytes) -> Self {
        let (user, is_typing) = match whisper {
            Whisper::Typing { user, .. } => (user, true),
            Whisper::Read { user, .. } => (user, false),
        };
        Self {
            user: user.as_ref().into(),
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
    pub fn replaces(&self, other: &Self) -> bool {
        self.is_typing == other.is_typing && self.user == other.user
    }
}
