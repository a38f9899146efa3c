//! Responses about messages.

use serde::Serialize;
use utoipa::ToSchema;

use super::{events::Event, format_time};
use crate::models::{messages, reactions};

/// The current state of a message.
#[derive(Serialize, ToSchema)]
pub struct Message {
    /// The number of the message in the group's log.
    #[schema(example = 41)]
    pub seq: i64,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub at: String,
    /// The username of the author; null if the author is not a user.
    #[schema(example = "ann")]
    pub by: Option<String>,
    /// True while the author's account is active; null if the author is not a user.
    #[schema(example = true)]
    pub by_active: Option<bool>,
    /// The text of the message; null if the message was deleted.
    #[schema(example = "hi")]
    pub text: Option<String>,
    /// The `seq` of the message that this message replies to.
    pub reply_to: Option<i64>,
    pub edited_at: Option<String>,
    pub deleted: bool,
    /// The id that the author's client gave to its request.
    #[schema(example = "01JD3ZK8Q4")]
    pub cid: Option<String>,
    /// The reactions, in the order of each emoji's first use.
    pub reactions: Vec<Reaction>,
}

/// The reactions to a message with one emoji.
#[derive(Serialize, ToSchema)]
pub struct Reaction {
    /// The emoji in the fully qualified form of Unicode.
    #[schema(example = "👍")]
    pub emoji: String,
    #[schema(example = 2)]
    pub count: i64,
    /// True if you reacted with this emoji.
    #[schema(example = true)]
    pub mine: bool,
    /// The usernames of the first users who reacted, at most 10.
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
    /// The messages, the newest first.
    pub results: Vec<Message>,
    /// The other events that appear in the history, such as a new member, the newest first. Present with `notes=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub notes: Option<Vec<Event<'a>>>,
    /// The `seq` of the first event that the page covers. Present with `notes=true`. The page has every message and
    /// note from there to its end. `before=<first>` returns the page before this page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12, nullable = false)]
    pub first: Option<i64>,
    /// The `seq` of the last event at the time of the response. A socket that starts after it misses no event and
    /// counts no event twice.
    #[schema(example = 58)]
    pub position: i64,
    /// True if there are more messages: older ones, or with `after`, newer ones. A page may have fewer messages than
    /// its limit although there are more, because its size in bytes is also limited.
    #[schema(example = false)]
    pub has_more: bool,
}

impl<'a> History<'a> {
    /// Returns a page of messages, with its notes if `with_notes` is set.
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
