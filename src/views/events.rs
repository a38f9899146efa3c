//! The JSON of events, the same for sockets and for HTTP. `models::event_data` has the kinds and their data.

use std::borrow::Cow;
#[allow(
    unused_imports,
    reason = "named in the attributes of the OpenAPI document"
)]
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
#[allow(
    unused_imports,
    reason = "named in the attributes of the OpenAPI document"
)]
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::format_time;
use crate::models::events;

/// A stored change of a group.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Event<'a> {
    /// The type of the frame, which is `event`.
    #[serde(borrow)]
    #[schema(example = "event")]
    pub r#type: Cow<'a, str>,
    /// The name of the group.
    #[serde(borrow)]
    #[schema(example = "chat_a1b2c3d4")]
    pub group: Cow<'a, str>,
    /// The number of the event in the group's log, from 1 without gaps.
    #[schema(example = 58)]
    pub seq: i64,
    /// The time at which the event was stored.
    #[serde(borrow)]
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub at: Cow<'a, str>,
    /// The username of the actor; null for the command of an operator.
    #[serde(borrow)]
    #[schema(example = "ann", required)]
    pub by: Option<Cow<'a, str>>,
    /// The kind of the event: `message.created`, `message.edited`, `message.deleted`, `reaction.added`,
    /// `reaction.removed`, `member.joined`, `member.left`, `member.role`, `group.updated`, or a kind that is newer than
    /// the client.
    #[serde(borrow)]
    #[schema(example = "message.created")]
    pub kind: Cow<'a, str>,
    /// The `cid` of the command, if the actor's client sent one.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "01JD3ZK8Q4", nullable = false)]
    pub cid: Option<Cow<'a, str>>,
    /// The data of the event. The fields depend on `kind`: see `/api-docs/`.
    #[serde(borrow)]
    #[schema(value_type = HashMap<String, Value>, example = json!({"text": "hi"}))]
    pub data: &'a RawValue,
}

impl<'a> Event<'a> {
    /// Returns the JSON of an event of the group with this name.
    #[must_use]
    pub fn new(group: &'a str, event: &'a events::Event) -> Self {
        Self {
            r#type: "event".into(),
            group: group.into(),
            seq: event.seq,
            at: format_time(&event.at).into(),
            by: event.by.as_deref().map(Into::into),
            kind: event.body.kind().into(),
            cid: event.cid.as_deref().map(Into::into),
            data: event.body.json(),
        }
    }
}

/// A part of a group's log.
#[derive(Serialize, ToSchema)]
pub struct EventPage<'a> {
    /// The events in order.
    pub results: Vec<Event<'a>>,
    /// The `seq` of the log's last event when the page was read.
    #[schema(example = 58)]
    pub position: i64,
    /// The epoch in which these values of `seq` are valid. Send the epoch as `epoch`, together with `after`.
    #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
    pub epoch: &'a str,
    /// Present if the events after `after` cannot be replayed. Reload the data that you show, and continue after
    /// `reset.head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reset: Option<PageReset>,
}

/// The reason why a page of events does not follow the events that the client has.
#[derive(Serialize, ToSchema)]
pub struct PageReset {
    /// The reason. `epoch`: the database was restored or replaced after you received `epoch`. `ahead`: the log ends
    /// before `after`.
    #[schema(example = "ahead")]
    pub reason: &'static str,
    /// The `seq` of the log's last event.
    #[schema(example = 58)]
    pub head: i64,
}
