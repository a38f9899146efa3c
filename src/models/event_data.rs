//! The kinds of events and their data.
//!
//! The log, the sockets, the delivery and the published schema use one definition. A new kind needs one entry of
//! `event_kinds!` with the type of its data. The compiler then requires the effect of the kind on delivery.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::memberships::Role;

/// Defines each kind: the constant with its stored name, the variant, and the type of the data.
macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:tt => $variant:ident($data:ty),)+) => {
        /// The names of the kinds. A node may receive other names while a newer node runs in the cluster.
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

            /// Parses the data of an event of this kind. Returns `None` for an unknown kind, and for data that does
            /// not match the kind.
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
                // A struct of strings, numbers and booleans always serializes.
                json.unwrap_or_else(|_| RawValue::NULL.to_owned())
            }
        }
    };
}

event_kinds! {
    /// A user sent a message.
    MESSAGE_CREATED = "message.created" => MessageCreated(MessageCreated),
    /// The author edited a message.
    MESSAGE_EDITED = "message.edited" => MessageEdited(MessageEdited),
    /// A message was deleted. The log no longer contains its text.
    MESSAGE_DELETED = "message.deleted" => MessageDeleted(MessageDeleted),
    /// The user in `by` reacted to a message.
    REACTION_ADDED = "reaction.added" => ReactionAdded(ReactionData),
    /// The user in `by` removed a reaction from a message.
    REACTION_REMOVED = "reaction.removed" => ReactionRemoved(ReactionData),
    /// A user became a member of the group.
    MEMBER_JOINED = "member.joined" => MemberJoined(MemberJoined),
    /// A member left the group, or was removed.
    MEMBER_LEFT = "member.left" => MemberLeft(MemberLeft),
    /// The role of a member changed.
    MEMBER_ROLE = "member.role" => MemberRole(MemberRole),
    /// The title of the group changed.
    GROUP_UPDATED = "group.updated" => GroupUpdated(GroupUpdated),
}

// The published schema contains the comments of the fields below. The types have no comments: the comment of the kind
// describes the event. The order of the fields is their order in the stored JSON, so it must not change.

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageCreated {
    /// `true` if the message was deleted later.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub deleted: bool,
    /// `true` if the message was edited later.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub edited: bool,
    /// The `seq` of the message to which this message replies. Absent if it is not a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 41, required = false, nullable = false)]
    pub reply_to: Option<i64>,
    /// The current text: the newest edit, if there is one. Null if the message was deleted.
    #[serde(default)]
    #[schema(example = "hi", required)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageEdited {
    /// `true` if the message was deleted later.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub deleted: bool,
    /// `true` if a later edit in the log replaced this text.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub replaced: bool,
    /// The `seq` of the edited message.
    #[schema(example = 41)]
    pub seq: i64,
    /// The new text. Null if the message was deleted later; empty if a later edit replaced this text.
    #[serde(default)]
    #[schema(example = "hi!", required)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDeleted {
    /// The `seq` of the deleted message.
    #[schema(example = 41)]
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReactionData {
    /// The emoji of the reaction.
    #[schema(example = "👍")]
    pub emoji: String,
    /// The `seq` of the message.
    #[schema(example = 41)]
    pub seq: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberJoined {
    /// The display name of the user.
    #[serde(default)]
    #[schema(example = "Bob Ray", required)]
    pub name: String,
    /// The role of the member: `member`, `admin` or `owner`.
    #[serde(default = "lowest_role")]
    #[schema(value_type = String, example = "member", required)]
    pub role: Role,
    /// The username of the member.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberLeft {
    /// The reason why the membership ended: `left`, `kicked` or `banned`.
    #[serde(default)]
    #[schema(value_type = String, example = "kicked", required)]
    pub reason: LeaveReason,
    /// The username of the member.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberRole {
    /// The new role of the member: `member`, `admin` or `owner`.
    #[schema(value_type = String, example = "admin")]
    pub role: Role,
    /// The username of the member.
    #[schema(example = "bob")]
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupUpdated {
    /// The new title. Null if the title was removed.
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
    /// The member left. A reason that only a newer node knows is also read as `Left`, because the user is no longer a
    /// member in either case.
    #[default]
    #[serde(other)]
    Left,
}

/// The longest name of a kind in a request, in characters.
const MAX_KIND_CHARS: usize = 64;

/// The name of a kind of events that a client names: letters, digits, `_` and `.`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKind(String);

impl EventKind {
    /// Returns the kind with this name. `None` for a text that is not the name of a kind.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is_name = (1..=MAX_KIND_CHARS).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        is_name.then(|| Self(name.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The prefixes of the kinds of Salam. A later version may add kinds with these prefixes.
const RESERVED_PREFIXES: [&str; 4] = ["group.", "member.", "message.", "reaction."];

/// The effect of an event on delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventEffect {
    /// A message was created. Base sockets also receive the message.
    CreatesMessage,
    /// The message with this seq was deleted: nodes drop the texts in their memory. 0 if the seq cannot be read.
    DeletesMessage(i64),
    /// A message has a new text: nodes drop the old texts in their memory.
    EditsMessage,
    /// The user with this username became a member.
    AddsMember(String),
    /// The user with this username is no longer a member: nodes close the sockets of the user.
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
    /// The text is empty and not null, because null means a deleted message. The later edit follows in the log.
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
    /// The JSON of the frequent kinds is not parsed, because their effect does not depend on their data.
    #[must_use]
    pub fn effect_of_json(kind: &str, json: &RawValue) -> EventEffect {
        match kind {
            kind::MESSAGE_CREATED => EventEffect::CreatesMessage,
            kind::MESSAGE_EDITED => EventEffect::EditsMessage,
            kind::REACTION_ADDED | kind::REACTION_REMOVED => EventEffect::Other,
            _ => match Self::parse(kind, json) {
                Some(data) => data.effect(),
                // Nodes must drop the texts in their memory, even if they cannot read which message was deleted.
                None if kind == kind::MESSAGE_DELETED => EventEffect::DeletesMessage(0),
                None => EventEffect::Other,
            },
        }
    }

    /// Returns whether a kind belongs to Salam, so that the events of an application cannot have the kind.
    #[must_use]
    pub fn is_reserved_kind(kind: &str) -> bool {
        RESERVED_PREFIXES
            .iter()
            .any(|prefix| kind.starts_with(prefix))
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

    /// Returns `true` if the log no longer has the text with which the event was appended.
    #[must_use]
    pub const fn is_redacted(&self) -> bool {
        match self {
            Self::MessageCreated(message) => message.deleted || message.edited,
            Self::MessageEdited(edit) => edit.deleted || edit.replaced,
            _ => false,
        }
    }
}

/// The kind and the data of an event, as the log stores them.
///
/// The data of a new event is serialized once. The data of an event from the log is parsed by each call of
/// [`EventBody::data`].
#[derive(Debug, Clone)]
pub struct EventBody {
    kind: Cow<'static, str>,
    json: Box<RawValue>,
    /// `None` if the event was read from the log.
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

    /// Returns the body of an application's own event, whose kind is not [reserved](EventData::is_reserved_kind).
    #[must_use]
    pub fn for_application(kind: &'static str, json: &RawValue) -> Self {
        Self {
            kind: kind.into(),
            json: json.to_owned(),
            data: None,
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

    /// Returns the name of the kind, without a copy of the name for Salam's own kinds.
    pub(super) fn stored_kind(&self) -> Cow<'static, str> {
        self.kind.clone()
    }

    /// Returns the data as JSON, without the kind.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// Returns the typed data, parsed if the event was read from the log. Returns `None` for an unknown kind, and for
    /// data that does not match the kind.
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
