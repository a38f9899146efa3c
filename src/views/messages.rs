//! Answers about messages.

use serde::Serialize;
use utoipa::ToSchema;

use super::{events::Event, format_time};
use crate::models::{messages, reactions};

/// A message as it is now.
#[derive(Serialize, ToSchema)]
pub struct Message {
    /// Its place in the group's log.
    #[schema(example = 41)]
    pub seq: i64,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub at: String,
    /// The username of the author; null where it was no user.
    #[schema(example = "ann")]
    pub by: Option<String>,
    /// True while the author's account is active; null where the author was not a user.
    #[schema(example = true)]
    pub by_active: Option<bool>,
    /// Null when it was deleted.
    #[schema(example = "hi")]
    pub text: Option<String>,
    /// The `seq` of the message that it answers.
    pub reply_to: Option<i64>,
    pub edited_at: Option<String>,
    pub deleted: bool,
    /// The id that the author's client gave it.
    #[schema(example = "01JD3ZK8Q4")]
    pub cid: Option<String>,
    /// The emoji that came first is the first.
    pub reactions: Vec<Reaction>,
}

/// How often a message was reacted to by an emoji.
#[derive(Serialize, ToSchema)]
pub struct Reaction {
    /// Fully qualified, in the words of Unicode.
    #[schema(example = "👍")]
    pub emoji: String,
    #[schema(example = 2)]
    pub count: i64,
    /// True when you have reacted with this emoji.
    #[schema(example = true)]
    pub mine: bool,
    /// The usernames of those who reacted first, 10 at most.
    #[schema(example = json!(["ann", "bob"]))]
    pub by: Vec<String>,
}

impl From<messages::StoredMessage> for Message {
    fn from(message: messages::StoredMessage) -> Self {
        Self {
            seq: message.seq,
            at: format_time(&message.at),
            by: message.by,
            by_active: message.is_author_active,
            text: message.text,
            reply_to: message.reply_to,
            edited_at: message.edited_at.as_ref().map(format_time),
            deleted: message.deleted,
            cid: message.cid,
            reactions: message.reactions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<reactions::ReactionSummary> for Reaction {
    fn from(reaction: reactions::ReactionSummary) -> Self {
        Self {
            emoji: reaction.emoji,
            count: reaction.count,
            mine: reaction.mine,
            by: reaction.by,
        }
    }
}

/// A part of a group's history.
#[derive(Serialize, ToSchema)]
pub struct History<'a> {
    /// The newest first.
    pub results: Vec<Message>,
    /// With `notes=true`: the other events of the log that stand on their own, such as a new member, the newest
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub notes: Option<Vec<Event<'a>>>,
    /// With `notes=true`: the page has every message and note from this `seq` on, up to the end of the page. The
    /// page before it is `before=<first>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12, nullable = false)]
    pub first: Option<i64>,
    /// The number of the last event when this was read: a socket that begins after it misses
    /// nothing, and counts nothing twice.
    #[schema(example = 58)]
    pub position: i64,
    /// True when there are more messages: older ones than these, or with `after`, newer ones. A page may be
    /// shorter than its limit although there are more, because its bytes are limited too.
    #[schema(example = false)]
    pub has_more: bool,
}

impl<'a> History<'a> {
    /// Returns a page of messages, and of `notes` where they are asked for.
    #[must_use]
    pub fn new(group: &'a str, page: &'a messages::HistoryPage, with_notes: bool) -> Self {
        let notes = page.notes.iter().map(|event| Event::new(group, event));
        Self {
            results: page.messages.iter().cloned().map(Into::into).collect(),
            notes: with_notes.then(|| notes.collect()),
            first: with_notes.then_some(page.first_seq),
            position: page.head,
            has_more: page.has_more,
        }
    }
}
