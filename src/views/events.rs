//! Events as everybody is shown them: over the socket and over HTTP alike.

use std::borrow::Cow;
#[allow(unused_imports, reason = "named by the document")]
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
#[allow(unused_imports, reason = "named by the document")]
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::format_time;
use crate::models::events;

/// What happened in a group.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Event<'a> {
    /// `event`.
    #[serde(borrow)]
    #[schema(example = "event")]
    pub r#type: Cow<'a, str>,
    /// Where.
    #[serde(borrow)]
    #[schema(example = "chat_a1b2c3d4")]
    pub group: Cow<'a, str>,
    /// Its place in the group's log, gapless from 1.
    #[schema(example = 58)]
    pub seq: i64,
    /// When it was stored.
    #[serde(borrow)]
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub at: Cow<'a, str>,
    /// The username of whoever did it; null where it was no user.
    #[serde(borrow)]
    #[schema(example = "ann", required)]
    pub by: Option<Cow<'a, str>>,
    /// `message.created`, `message.edited`, `message.deleted`, `reaction.added`,
    /// `reaction.removed`, `member.joined`, `member.left`, `member.role`, `group.updated`, or one
    /// that is newer than the client.
    #[serde(borrow)]
    #[schema(example = "message.created")]
    pub kind: Cow<'a, str>,
    /// The id that the author's client gave it, if it did.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "01JD3ZK8Q4", nullable = false)]
    pub cid: Option<Cow<'a, str>>,
    /// What is in it depends on the kind: `/api-docs/` shows it.
    #[serde(borrow)]
    #[schema(value_type = HashMap<String, Value>, example = json!({"text": "hi"}))]
    pub data: &'a RawValue,
}

impl<'a> Event<'a> {
    #[must_use]
    pub fn new(group: &'a str, event: &'a events::Event) -> Self {
        Self {
            r#type: "event".into(),
            group: group.into(),
            seq: event.seq,
            at: format_time(&event.at).into(),
            by: event.by.as_deref().map(Into::into),
            kind: event.kind.as_ref().into(),
            cid: event.cid.as_deref().map(Into::into),
            // The log holds what our own hand has written; anything else is shown as nothing.
            data: serde_json::from_str(&event.data).unwrap_or(RawValue::NULL),
        }
    }
}

/// What the kinds of an event mean, and what their `data` is. The models write it; the tests hold
/// every event that is told against this.
#[derive(ToSchema)]
#[serde(tag = "kind", content = "data")]
pub enum EventData {
    /// A message was sent.
    #[serde(rename = "message.created")]
    MessageCreated(MessageCreated),
    /// Its author gave a message another text.
    #[serde(rename = "message.edited")]
    MessageEdited(MessageEdited),
    /// A message was deleted, by its author or an admin; its text is gone from the log as well.
    #[serde(rename = "message.deleted")]
    MessageDeleted(MessageDeleted),
    /// `by` has reacted to a message.
    #[serde(rename = "reaction.added")]
    ReactionAdded(ReactionData),
    /// `by` has taken a reaction back.
    #[serde(rename = "reaction.removed")]
    ReactionRemoved(ReactionData),
    /// Somebody has become a member.
    #[serde(rename = "member.joined")]
    MemberJoined(MemberJoined),
    /// Somebody is no member any more.
    #[serde(rename = "member.left")]
    MemberLeft(MemberLeft),
    /// A member has another role now.
    #[serde(rename = "member.role")]
    MemberRole(MemberRole),
    /// The group has another title now.
    #[serde(rename = "group.updated")]
    GroupUpdated(GroupUpdated),
}

#[derive(ToSchema)]
pub struct MessageCreated {
    /// The newest text, where the message was edited since; null where it was deleted.
    #[schema(example = "hi", required)]
    pub text: Option<String>,
    /// True where the message was edited since.
    #[schema(required = false)]
    pub edited: bool,
    /// The `seq` of the message that it answers, where it answers one.
    #[schema(example = 41, required = false, nullable = false)]
    pub reply_to: Option<i64>,
    /// True where the message was deleted since.
    #[schema(required = false)]
    pub deleted: bool,
}

#[derive(ToSchema)]
pub struct MessageEdited {
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
    /// Null where the message was deleted since; empty where a later edit replaced the text.
    #[schema(example = "hi!", required)]
    pub text: Option<String>,
    /// True where a later edit, which follows in the log, replaced the text.
    #[schema(required = false)]
    pub replaced: bool,
    /// True where the message was deleted since.
    #[schema(required = false)]
    pub deleted: bool,
}

#[derive(ToSchema)]
pub struct MessageDeleted {
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
}

#[derive(ToSchema)]
pub struct ReactionData {
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
    /// What it is.
    #[schema(example = "👍")]
    pub emoji: String,
}

#[derive(ToSchema)]
pub struct MemberJoined {
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
    /// The name that others see.
    #[schema(example = "Bob Ray")]
    pub name: String,
    /// `member`, `admin` or `owner`.
    #[schema(example = "member")]
    pub role: String,
}

#[derive(ToSchema)]
pub struct MemberLeft {
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
    /// `left`, `kicked` or `banned`.
    #[schema(example = "kicked")]
    pub reason: String,
}

#[derive(ToSchema)]
pub struct MemberRole {
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
    /// `member`, `admin` or `owner`.
    #[schema(example = "admin")]
    pub role: String,
}

#[derive(ToSchema)]
pub struct GroupUpdated {
    /// Null where it has none any more.
    #[schema(example = "Lunch", required)]
    pub title: Option<String>,
}

/// A part of a group's log.
#[derive(Serialize, ToSchema)]
pub struct EventPage<'a> {
    /// In order.
    pub results: Vec<Event<'a>>,
    /// The number of the last event when this was read.
    #[schema(example = 58)]
    pub position: i64,
    /// The epoch in which the numbers mean something: send it back as `epoch`, with `after`.
    #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
    pub epoch: &'a str,
    /// The log has nothing that follows `after`: load what you show again, and go on after `head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reset: Option<PageReset>,
}

/// The reason why a page of events does not follow the events that the client has.
#[derive(Serialize, ToSchema)]
pub struct PageReset {
    /// `epoch`: the database was restored or replaced since. `ahead`: the log ends before `after`.
    #[schema(example = "ahead")]
    pub reason: &'static str,
    /// The number of the last event.
    #[schema(example = 58)]
    pub head: i64,
}
