//! Events as everybody is shown them: over the socket and over HTTP alike.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::time;
use crate::models::events;

/// What happened in a group.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Event<'a> {
    /// `event`.
    #[serde(borrow)]
    #[schema(example = "event")]
    pub r#type: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(example = "chat_a1b2c3d4")]
    pub group: Cow<'a, str>,
    /// Its place in the group's log, gapless from 1.
    #[schema(example = 58)]
    pub seq: i64,
    #[serde(borrow)]
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub at: Cow<'a, str>,
    /// The username of whoever did it; null where it was no user.
    #[serde(borrow)]
    #[schema(example = "ann")]
    pub by: Option<Cow<'a, str>>,
    /// `message.created`, `message.edited`, `message.deleted`, `reaction.added`,
    /// `reaction.removed`, `member.joined`, `member.left`, `member.role`, `group.updated`, or one
    /// that is newer than the client.
    #[serde(borrow)]
    #[schema(example = "message.created")]
    pub kind: Cow<'a, str>,
    /// The id that the author's client gave it, if it did.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "01JD3ZK8Q4")]
    pub cid: Option<Cow<'a, str>>,
    /// What is in it depends on the kind.
    #[serde(borrow)]
    #[schema(value_type = Object, example = json!({"text": "hi"}))]
    pub data: &'a RawValue,
}

impl<'a> Event<'a> {
    #[must_use]
    pub fn new(group: &'a str, event: &'a events::Event) -> Self {
        Self {
            r#type: "event".into(),
            group: group.into(),
            seq: event.seq,
            at: time(&event.at).into(),
            by: event.by.as_deref().map(Into::into),
            kind: event.kind.as_ref().into(),
            cid: event.cid.as_deref().map(Into::into),
            // The log holds what our own hand has written; anything else is shown as nothing.
            data: serde_json::from_str(&event.data).unwrap_or(RawValue::NULL),
        }
    }
}

/// A part of a group's log.
#[derive(Serialize, ToSchema)]
pub struct EventPage<'a> {
    /// In order.
    pub results: Vec<Event<'a>>,
    /// The number of the last event when this was read.
    #[schema(example = 58)]
    pub position: i64,
}
