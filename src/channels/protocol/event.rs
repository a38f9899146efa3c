//! An event as it is told: encoded once, for all rich sockets of all nodes.

use std::sync::{Arc, OnceLock};

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use super::{base, to_json};
pub use crate::models::event_data::EventEffect;
use crate::{
    models::{event_data::EventData, events::Event},
    views,
};

/// Bytes of events that travel together between nodes, at most; one alone may be larger.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// An event on its way to the sockets.
#[derive(Debug)]
pub struct EncodedEvent {
    pub seq: i64,
    /// The username of whoever did it, if it was a user.
    pub actor: Option<Arc<str>>,
    pub effect: EventEffect,
    /// What rich sockets are shown; it is also what travels between nodes.
    frame: Utf8Bytes,
    /// What base sockets are shown, once one of them asked.
    basic: OnceLock<Utf8Bytes>,
}

impl EncodedEvent {
    #[must_use]
    pub fn encode(group: &str, event: &Event) -> Self {
        let frame = views::events::Event::new(group, event);
        Self {
            seq: event.seq,
            actor: event.by.clone(),
            effect: event.body.effect(),
            frame: to_json(&frame).into(),
            basic: OnceLock::new(),
        }
    }

    /// How events that follow one another in a group travel to other nodes: their frames, one after the
    /// other, in as few payloads as may be. Redis is paid by the payload.
    #[must_use]
    pub fn batch_payloads(events: &[Self]) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        let mut rest = events;
        while let Some((first, others)) = rest.split_first() {
            let mut size = first.size();
            let followers = others.iter().take_while(|told| {
                size += told.size();
                size <= MAX_PAYLOAD_BYTES
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
    pub fn decode_batch(payload: &Bytes) -> Option<Vec<Self>> {
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
                actor: frame.by.as_deref().map(Into::into),
                effect: EventData::effect_of_json(&frame.kind, frame.data),
                basic: OnceLock::new(),
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
    pub fn basic_frame(&self, username: &str, clock: impl FnOnce() -> String) -> Option<Utf8Bytes> {
        if self.effect != EventEffect::CreatesMessage {
            return None;
        }
        Some(match &self.actor {
            Some(by) => self
                .basic
                .get_or_init(|| base::message_frame(by, &clock()))
                .clone(),
            None => base::message_frame(username, &clock()),
        })
    }

    /// Whether it ends the membership of this user.
    #[must_use]
    pub fn removes_member(&self, username: &str) -> bool {
        matches!(&self.effect, EventEffect::RemovesMember(left) if left == username)
    }
}
