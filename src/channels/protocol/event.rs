//! Encoded events: the bytes of an event for the sockets and for other nodes.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use chrono::{DateTime, FixedOffset};

use super::{base, to_json};
pub use crate::models::event_data::EventEffect;
use crate::{
    database::clock,
    metrics::EventOrigin,
    models::{event_data::EventData, events::Event},
    views,
};

/// The largest payload of several events between nodes, in bytes. One event alone may be larger.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// An event as the bytes that all rich sockets of all nodes receive. It is encoded once.
#[derive(Debug)]
pub struct EncodedEvent {
    pub seq: i64,
    /// The username of the actor. `None` for the command of an operator.
    pub actor: Option<Arc<str>>,
    pub effect: EventEffect,
    pub origin: EventOrigin,
    /// The time of the commit, for metrics. For an event of another node or of the log, it is the stored time, which
    /// is a little earlier.
    pub committed_at: Instant,
    /// The frame of rich sockets, which nodes also send each other.
    frame: Utf8Bytes,
    /// The frame of base sockets. The first base socket that needs it has it encoded.
    base: OnceLock<Utf8Bytes>,
}

impl EncodedEvent {
    /// Encodes an event of the group with this name, which this node has just committed.
    #[must_use]
    pub fn encode(group: &str, event: &Event) -> Self {
        Self::new(group, event, EventOrigin::Local, Instant::now())
    }

    /// Encodes an event of the group with this name that was read from the log.
    #[must_use]
    pub fn encode_logged(group: &str, event: &Event) -> Self {
        Self::new(group, event, EventOrigin::Log, instant_of(event.at))
    }

    fn new(group: &str, event: &Event, origin: EventOrigin, committed_at: Instant) -> Self {
        let frame = views::events::Event::new(group, event);
        Self {
            seq: event.seq,
            actor: event.by.clone(),
            effect: event.body.effect(),
            origin,
            committed_at,
            frame: to_json(&frame).into(),
            base: OnceLock::new(),
        }
    }

    /// Returns the payloads by which consecutive events of a group are sent to other nodes: the frames in order,
    /// in as few payloads as the limit allows.
    ///
    /// The cost of Redis depends on the number of payloads.
    #[must_use]
    pub fn batch_payloads(events: &[Self]) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        let mut rest = events;
        while let Some((first, others)) = rest.split_first() {
            let mut size = first.size();
            let followers = others.iter().take_while(|event| {
                size += event.size();
                size <= MAX_PAYLOAD_BYTES
            });
            let (batch, after) = rest.split_at(1 + followers.count());
            payloads.push(match batch {
                [event] => event.frame().into(),
                _ => {
                    let frames: Vec<_> = batch.iter().map(|event| event.frame.as_bytes()).collect();
                    frames.concat().into()
                }
            });
            rest = after;
        }
        payloads
    }

    /// Reads the events of another node. Returns `None` for every other payload.
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
                origin: EventOrigin::Remote,
                committed_at: DateTime::parse_from_rfc3339(&frame.at)
                    .map_or_else(|_| Instant::now(), instant_of),
                base: OnceLock::new(),
                frame: payload.slice(begin..end).try_into().ok()?,
            });
            begin = end;
        }
        (begin == payload.len() && !events.is_empty()).then_some(events)
    }

    /// Returns the frame that rich sockets and other nodes receive.
    #[must_use]
    pub fn frame(&self) -> Utf8Bytes {
        self.frame.clone()
    }

    /// Returns the size of the frame in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frame.len()
    }

    /// Returns the frame for a base socket of this user. `None` for an event that is not a new message.
    ///
    /// The frame names the author, or this user for a message of an operator. `clock` returns the time of day.
    #[must_use]
    pub fn base_frame(&self, username: &str, clock: impl FnOnce() -> String) -> Option<Utf8Bytes> {
        if self.effect != EventEffect::CreatesMessage {
            return None;
        }
        Some(match &self.actor {
            Some(by) => self
                .base
                .get_or_init(|| base::message_frame(by, &clock()))
                .clone(),
            None => base::message_frame(username, &clock()),
        })
    }

    /// Returns whether the event ends the membership of this user.
    #[must_use]
    pub fn removes_member(&self, username: &str) -> bool {
        matches!(&self.effect, EventEffect::RemovesMember(left) if left == username)
    }
}

/// Returns the time of this process at which the database stored an event.
fn instant_of(at: DateTime<FixedOffset>) -> Instant {
    let now = Instant::now();
    now.checked_sub(clock::age_of(at)).unwrap_or(now)
}
