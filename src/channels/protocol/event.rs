//! An event as it is told: encoded once, for all rich sockets of all nodes.

use std::sync::{Arc, OnceLock};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{base, to_json};
use crate::{
    models::events::{Event, kind},
    views,
};

/// Bytes of events that travel together between nodes, at most; one alone may be larger.
const PAYLOAD: usize = 64 * 1024;

/// An event on its way to the sockets.
#[derive(Debug)]
pub struct Told {
    pub seq: i64,
    /// The username of whoever did it, if it was a user.
    pub by: Option<Arc<str>>,
    pub meaning: Meaning,
    /// What rich sockets are shown; it is also what travels between nodes.
    frame: Utf8Bytes,
    /// What base sockets are shown, once one of them asked.
    base: OnceLock<Utf8Bytes>,
}

/// What an event means to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Somebody said something: base sockets are told.
    Message,
    /// The message with this number is deleted: the texts before it are forgotten.
    Deletion(i64),
    /// A text replaces another, which is forgotten.
    Edit,
    /// The user of this name is a member from now on.
    Joined(String),
    /// The user of this name is no member any more.
    Left(String),
    Other,
}

impl Told {
    #[must_use]
    pub fn new(group: &str, event: &Event) -> Self {
        let frame = views::events::Event::new(group, event);
        Self {
            seq: event.seq,
            by: event.by.clone(),
            meaning: Meaning::of(&event.kind, frame.data),
            frame: to_json(&frame).into(),
            base: OnceLock::new(),
        }
    }

    /// How events that follow one another in a group travel to other nodes: their frames, one after the
    /// other, in as few payloads as may be. Redis is paid by the payload.
    #[must_use]
    pub fn payloads(events: &[Self]) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        let mut rest = events;
        while let Some((first, others)) = rest.split_first() {
            let mut size = first.size();
            let followers = others.iter().take_while(|told| {
                size += told.size();
                size <= PAYLOAD
            });
            let (together, after) = rest.split_at(1 + followers.count());
            payloads.push(match together {
                [alone] => alone.frame().into(),
                _ => {
                    let frames: Vec<_> =
                        together.iter().map(|told| told.frame.as_bytes()).collect();
                    frames.concat().into()
                }
            });
            rest = after;
        }
        payloads
    }

    /// What another node has told. `None` for what no node of ours has sent as events.
    #[must_use]
    pub fn decode(payload: &Bytes) -> Option<Vec<Self>> {
        let text = str::from_utf8(payload).ok()?;
        let mut frames = serde_json::Deserializer::from_str(text).into_iter();
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(frame) = frames.next() {
            let end = frames.byte_offset();
            let frame: views::events::Event<'_> = frame.ok()?;
            if frame.r#type != "event" {
                return None;
            }
            events.push(Self {
                seq: frame.seq,
                by: frame.by.as_deref().map(Into::into),
                meaning: Meaning::of(&frame.kind, frame.data),
                base: OnceLock::new(),
                frame: payload.slice(begin..end).try_into().ok()?,
            });
            begin = end;
        }
        (begin == payload.len() && !events.is_empty()).then_some(events)
    }

    /// As rich sockets are shown it, and other nodes are told.
    #[must_use]
    pub fn frame(&self) -> Utf8Bytes {
        self.frame.clone()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frame.len()
    }

    /// What a base socket of this user is shown of it at this time: of messages who it is by.
    #[must_use]
    pub fn base_frame(&self, username: &str, clock: impl FnOnce() -> String) -> Option<Utf8Bytes> {
        if self.meaning != Meaning::Message {
            return None;
        }
        Some(match &self.by {
            Some(by) => self
                .base
                .get_or_init(|| base::arrival(by, &clock()))
                .clone(),
            None => base::arrival(username, &clock()),
        })
    }

    /// Whether it ends the membership of this user.
    #[must_use]
    pub fn puts_out(&self, username: &str) -> bool {
        matches!(&self.meaning, Meaning::Left(left) if left == username)
    }
}

impl Meaning {
    fn of(kind: &str, data: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct About {
            user: String,
        }
        #[derive(Deserialize)]
        struct Of {
            seq: i64,
        }
        let of_user = |meaning: fn(String) -> Self| {
            let about = serde_json::from_str::<About>(data.get());
            about.map_or(Self::Other, |about| meaning(about.user))
        };
        match kind {
            kind::MESSAGE_CREATED => Self::Message,
            kind::MESSAGE_DELETED => {
                let of = serde_json::from_str::<Of>(data.get());
                Self::Deletion(of.map_or(0, |of| of.seq))
            }
            kind::MESSAGE_EDITED => Self::Edit,
            kind::MEMBER_JOINED => of_user(Self::Joined),
            kind::MEMBER_LEFT => of_user(Self::Left),
            _ => Self::Other,
        }
    }
}
