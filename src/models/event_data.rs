//! The kinds of events and their data.
//!
//! One definition serves the log, the sockets, the delivery and the published schema. A new kind is one entry of
//! `event_kinds!` with the type of its data, and the compiler asks for its effect on delivery.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::memberships::Role;

/// Defines the kinds: the constant with the name that is stored and sent, the variant, and the type of the data.
macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:tt => $variant:ident($data:ty),)+) => {
        /// The names of the kinds. A node may meet other names while a newer node runs beside it.
        pub mod kind {
            $($(#[doc = $doc])+ pub const $constant: &str = $name;)+
        }

        /// The kind of an event with its data.
        #[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
        #[serde(tag = "kind", content = "data")]
        pub enum EventData {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant($data),)+
        }

        impl EventData {
            /// Returns the name of the kind.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => kind::$constant,)+
                }
            }

            /// Reads the data of an event of this kind. `None` for an unknown kind, and for data that lacks a
            /// required field.
            #[must_use]
            pub fn parse(kind: &str, json: &RawValue) -> Option<Self> {
                match kind {
                    $(kind::$constant => serde_json::from_str(json.get()).ok().map(Self::$variant),)+
                    _ => None,
                }
            }

            /// Returns the data as JSON, without the kind.
            #[must_use]
            pub fn to_json(&self) -> Box<RawValue> {
                let json = match self {
                    $(Self::$variant(data) => to_raw_value(data),)+
                };
                // Strings, numbers and booleans in a struct always serialize.
                json.unwrap_or_else(|_| RawValue::NULL.to_owned())
            }
        }
    };
}

event_kinds! {
    /// A message was sent.
    MESSAGE_CREATED = "message.created" => MessageCreated(MessageCreated),
    /// Its author gave a message another text.
    MESSAGE_EDITED = "message.edited" => MessageEdited(MessageEdited),
    /// A message was deleted, by its author or an admin; its text is gone from the log as well.
    MESSAGE_DELETED = "message.deleted" => MessageDeleted(MessageDeleted),
    /// `by` has reacted to a message.
    REACTION_ADDED = "reaction.added" => ReactionAdded(ReactionData),
    /// `by` has taken a reaction back.
    REACTION_REMOVED = "reaction.removed" => ReactionRemoved(ReactionData),
    /// Somebody has become a member.
    MEMBER_JOINED = "member.joined" => MemberJoined(MemberJoined),
    /// Somebody is no member any more.
    MEMBER_LEFT = "member.left" => MemberLeft(MemberLeft),
    /// A member has another role now.
    MEMBER_ROLE = "member.role" => MemberRole(MemberRole),
    /// The group has another title now.
    GROUP_UPDATED = "group.updated" => GroupUpdated(GroupUpdated),
}

// The published schema takes over the comments of these types and fields. A type of data has none of its own: the
// comment of its kind describes the event. The fields are in the order in which the log has always had them.

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageCreated {
    /// True where the message was deleted since.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub deleted: bool,
    /// True where the message was edited since.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub edited: bool,
    /// The `seq` of the message that it answers, where it answers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 41, required = false, nullable = false)]
    pub reply_to: Option<i64>,
    /// The newest text, where the message was edited since; null where it was deleted.
    #[serde(default)]
    #[schema(example = "hi", required)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageEdited {
    /// True where the message was deleted since.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub deleted: bool,
    /// True where a later edit, which follows in the log, replaced the text.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub replaced: bool,
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
    /// Null where the message was deleted since; empty where a later edit replaced the text.
    #[serde(default)]
    #[schema(example = "hi!", required)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDeleted {
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReactionData {
    /// The emoji.
    #[schema(example = "👍")]
    pub emoji: String,
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberJoined {
    /// The name that others see.
    #[serde(default)]
    #[schema(example = "Bob Ray", required)]
    pub name: String,
    /// `member`, `admin` or `owner`.
    #[serde(default = "lowest_role")]
    #[schema(value_type = String, example = "member", required)]
    pub role: Role,
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberLeft {
    /// `left`, `kicked` or `banned`.
    #[serde(default)]
    #[schema(value_type = String, example = "kicked", required)]
    pub reason: LeaveReason,
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberRole {
    /// `member`, `admin` or `owner`.
    #[schema(value_type = String, example = "admin")]
    pub role: Role,
    /// Their username.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupUpdated {
    /// Null where it has none any more.
    #[serde(default)]
    #[schema(example = "Lunch", required)]
    pub title: Option<String>,
}

/// The reason why a membership ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveReason {
    Kicked,
    Banned,
    /// A reason that only a newer node knows is read as this one: the user is not a member either way.
    #[default]
    #[serde(other)]
    Left,
}

/// The effect of an event on delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventEffect {
    /// Base sockets receive the message too.
    CreatesMessage,
    /// The message with this seq is deleted: nodes drop the texts that they keep.
    DeletesMessage(i64),
    /// A text replaces another text: nodes drop the texts that they keep.
    EditsMessage,
    /// The user with this username is a member from now on.
    AddsMember(String),
    /// The user with this username is no longer a member: the sockets of the user are closed.
    RemovesMember(String),
    Other,
}

impl MessageCreated {
    /// Returns the data that the log keeps of a deleted message.
    #[must_use]
    pub fn deleted() -> Self {
        Self {
            deleted: true,
            ..Self::default()
        }
    }

    /// Returns the data that the log keeps of an edited message: the message with the text of its newest edit.
    #[must_use]
    pub fn with_edit(self, text: Option<String>) -> Self {
        Self {
            text,
            edited: true,
            ..self
        }
    }
}

impl MessageEdited {
    /// Returns the data of a new edit.
    #[must_use]
    pub fn new(seq: i64, text: String) -> Self {
        Self {
            seq,
            text: Some(text),
            ..Self::default()
        }
    }

    /// Returns the data that the log keeps of an edit that a later edit replaced.
    ///
    /// The text is empty and not null: clients take null for a deleted message, and the later edit follows in the
    /// log.
    #[must_use]
    pub fn replaced(seq: i64) -> Self {
        Self {
            replaced: true,
            ..Self::new(seq, String::new())
        }
    }

    /// Returns the data that the log keeps of an edit of a deleted message.
    #[must_use]
    pub fn deleted(seq: i64) -> Self {
        Self {
            seq,
            deleted: true,
            ..Self::default()
        }
    }
}

impl EventData {
    /// Returns the effect of the event on delivery.
    #[must_use]
    pub fn effect(&self) -> EventEffect {
        match self {
            Self::MessageCreated(_) => EventEffect::CreatesMessage,
            Self::MessageEdited(_) => EventEffect::EditsMessage,
            Self::MessageDeleted(deletion) => EventEffect::DeletesMessage(deletion.seq),
            Self::MemberJoined(joined) => EventEffect::AddsMember(joined.user.clone()),
            Self::MemberLeft(left) => EventEffect::RemovesMember(left.user.clone()),
            Self::ReactionAdded(_)
            | Self::ReactionRemoved(_)
            | Self::MemberRole(_)
            | Self::GroupUpdated(_) => EventEffect::Other,
        }
    }

    /// Returns the effect of an event that was read from the log or received from another node.
    ///
    /// The frequent kinds have the same effect whatever their data is, so their JSON is not parsed.
    #[must_use]
    pub fn effect_of_json(kind: &str, json: &RawValue) -> EventEffect {
        match kind {
            kind::MESSAGE_CREATED => EventEffect::CreatesMessage,
            kind::MESSAGE_EDITED => EventEffect::EditsMessage,
            kind::REACTION_ADDED | kind::REACTION_REMOVED => EventEffect::Other,
            _ => match Self::parse(kind, json) {
                Some(data) => data.effect(),
                // The texts that nodes keep are dropped, whichever message it is.
                None if kind == kind::MESSAGE_DELETED => EventEffect::DeletesMessage(0),
                None => EventEffect::Other,
            },
        }
    }

    /// Returns the seq of the message that the event edits or deletes.
    #[must_use]
    pub const fn revised_message(&self) -> Option<i64> {
        match self {
            Self::MessageEdited(edit) => Some(edit.seq),
            Self::MessageDeleted(deletion) => Some(deletion.seq),
            _ => None,
        }
    }

    /// Returns whether the log no longer has the text with which the event was appended.
    #[must_use]
    pub const fn is_redacted(&self) -> bool {
        match self {
            Self::MessageCreated(message) => message.deleted || message.edited,
            Self::MessageEdited(edit) => edit.deleted || edit.replaced,
            _ => false,
        }
    }
}

/// The kind and the data of an event as the log has them. The JSON is written or read once.
#[derive(Debug, Clone)]
pub struct EventBody {
    kind: Cow<'static, str>,
    json: Box<RawValue>,
    /// `None` where the event was read from the log.
    data: Option<EventData>,
}

impl EventBody {
    /// Serializes the data of a new event.
    #[must_use]
    pub fn new(data: EventData) -> Self {
        Self {
            kind: data.kind().into(),
            json: data.to_json(),
            data: Some(data),
        }
    }

    /// Returns the body of an event that was read from the log, without parsing its data.
    ///
    /// The log has only JSON that this program wrote. Other text becomes null.
    #[must_use]
    pub fn from_log(kind: String, json: String) -> Self {
        Self {
            kind: kind.into(),
            json: RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            data: None,
        }
    }

    /// Returns the name of the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the data as JSON, without the kind.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// Returns the typed data. An event that was read from the log is parsed here. `None` for a kind that only a
    /// newer node knows.
    #[must_use]
    pub fn data(&self) -> Option<Cow<'_, EventData>> {
        match &self.data {
            Some(data) => Some(Cow::Borrowed(data)),
            None => EventData::parse(&self.kind, &self.json).map(Cow::Owned),
        }
    }

    /// Returns the effect of the event on delivery.
    #[must_use]
    pub fn effect(&self) -> EventEffect {
        match &self.data {
            Some(data) => data.effect(),
            None => EventData::effect_of_json(&self.kind, &self.json),
        }
    }
}

impl PartialEq for EventBody {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.json.get() == other.json.get()
    }
}

impl Eq for EventBody {}

const fn lowest_role() -> Role {
    Role::Member
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}
