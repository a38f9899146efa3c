//! The requests of a rich client: their parser and their published schema, from the same types.
//!
//! Each request is a struct, and each value with a rule is a type that carries the rule, the text of its
//! error and its schema. No I/O.

use std::{borrow::Cow, fmt, mem, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, Visitor},
};
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};

use super::rich::ErrorReply;
use crate::{
    json_object::{Fault, FieldError, Fields, from_fields},
    models::{
        messages::{self, MAX_CID_CHARS, MAX_TEXT_CHARS},
        reactions,
    },
};

/// The largest whole number that every JSON reader keeps (RFC 8259, section 6).
pub(super) const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

const TYPE_FIELD: &str = "type";
const ID_FIELD: &str = "id";

const NOT_AN_OBJECT: &str =
    "A frame must be a JSON object of valid Unicode that is not nested too deeply.";
const UNKNOWN_TYPE: &str = "Unknown type of request.";
const FIELD_REQUIRED: &str = "This field is required.";
const NOT_A_STRING: &str = "This must be a string.";
const NOT_A_BOOLEAN: &str = "This must be true or false.";
const NOT_AN_ID: &str = "This must be a whole number.";
const NOT_A_SEQ: &str = "This must be a whole number, 1 or more.";
const NOT_A_CID: &str = "This must be 1 to 128 ASCII characters without spaces.";
const BLANK_TEXT: &str = "This must have at least one visible character.";
const TEXT_TOO_LONG: &str = "This must have at most `limits.text` characters.";
const NOT_GROUP_NAMES: &str = "This must be a list of group names.";
const NOT_GROUP_POSITIONS: &str =
    r#"This must be a list of objects like {"group": "…", "after": 41}; `after` is optional."#;

/// A frame of a rich client. A field that may be missing may also be null; fields that are not
/// named here are ignored; whole numbers are written without a fraction.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Request {
    /// After the reply, each group has a frame `group`, the missed events, and `sync`. A single-group socket is
    /// subscribed from the start, and may subscribe again.
    #[schema(title = "Subscribe to groups")]
    Sub(Subscribe),
    /// The socket no longer receives the events of these groups.
    #[schema(title = "Unsubscribe from groups")]
    Unsub(Unsubscribe),
    /// The reply is `ok` after the message is stored.
    #[schema(title = "Send a message")]
    Send(Send),
    /// Only the author can edit a message.
    #[schema(title = "Edit a message")]
    Edit(Edit),
    /// The author, admins and the owner can delete a message.
    #[schema(title = "Delete a message")]
    Delete(Delete),
    /// The reply has `seq`, and `dup` if the request changed nothing.
    #[schema(title = "Add or remove a reaction")]
    React(React),
    /// The read position holds for all your devices, and never moves back. There is no reply.
    #[schema(title = "Mark events as read")]
    Read(Read),
    /// Repeat the request every few seconds while the user types. There is no reply.
    #[schema(title = "Report typing")]
    Typing(Typing),
    /// The reply has the time until the server closes the socket.
    #[schema(title = "Renew the authentication")]
    Auth(Auth),
}

/// The fields of `sub`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Subscribe {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    /// The `epoch` in which you received the numbers in `after`.
    #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
    pub epoch: Option<String>,
    /// The groups, each with your position in its log.
    #[serde(deserialize_with = "group_positions")]
    pub groups: Vec<GroupPosition>,
}

/// A group, and your position in its log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct GroupPosition {
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    /// The `seq` of the last event that you have. Without it, you receive only new events.
    #[schema(value_type = Option<i64>, example = 41, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub after: Option<Position>,
}

/// The fields of `unsub`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Unsubscribe {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    /// The names of the groups.
    #[serde(deserialize_with = "group_names")]
    #[schema(value_type = Vec<String>, example = json!(["chat_a1b2c3d4"]))]
    pub groups: Vec<GroupName>,
}

/// The fields of `send`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Send {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    #[schema(schema_with = Cid::schema)]
    pub cid: Option<Cid>,
    #[schema(schema_with = MessageText::schema)]
    pub text: MessageText,
    /// The `seq` of the message that this message answers.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub reply_to: Option<MessageSeq>,
}

/// The fields of `edit`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Edit {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    #[schema(schema_with = MessageSeq::schema)]
    pub seq: MessageSeq,
    #[schema(schema_with = MessageText::schema)]
    pub text: MessageText,
    #[schema(schema_with = Cid::schema)]
    pub cid: Option<Cid>,
}

/// The fields of `delete`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Delete {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    #[schema(schema_with = MessageSeq::schema)]
    pub seq: MessageSeq,
    #[schema(schema_with = Cid::schema)]
    pub cid: Option<Cid>,
}

/// The fields of `react`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct React {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    #[schema(schema_with = MessageSeq::schema)]
    pub seq: MessageSeq,
    /// One emoji.
    #[serde(deserialize_with = "emoji")]
    #[schema(value_type = String, example = "👍", format = "emoji")]
    pub emoji: reactions::Emoji,
    /// `false` removes the reaction.
    #[schema(example = true)]
    pub on: bool,
    #[schema(schema_with = Cid::schema)]
    pub cid: Option<Cid>,
}

/// The fields of `read`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Read {
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    /// The `seq` of the last event that you have read; 0 changes nothing.
    #[schema(value_type = i64, example = 57, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub seq: Position,
}

/// The fields of `typing`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Typing {
    #[schema(schema_with = GroupName::schema)]
    pub group: GroupName,
    /// `false` when the user has stopped.
    #[schema(example = true)]
    pub on: bool,
}

/// The fields of `auth`.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Auth {
    #[schema(schema_with = RequestId::schema)]
    pub id: RequestId,
    /// A valid access token. Without a token, the server checks your session again.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2ln")]
    pub token: Option<String>,
}

impl Request {
    /// Parses a frame. Returns `None` for a text that is not JSON (RFC 8259).
    ///
    /// # Errors
    /// The reply to a frame that is JSON and not a request. The reply has the frame's `id` if that can be
    /// read.
    pub fn parse(text: &str) -> Option<Result<Self, ErrorReply<'static>>> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => {
                let id = fields.get(ID_FIELD).and_then(RequestId::from_value);
                Some(Self::from_fields(fields).map_err(|error| error_reply(error, id)))
            }
            Ok(_) => Some(Err(ErrorReply::new("invalid", NOT_AN_OBJECT))),
            // The text may be JSON by its grammar: `IgnoredAny` skips deep values and lone surrogates.
            Err(_) => {
                serde_json::from_str::<IgnoredAny>(text).ok()?;
                Some(Err(ErrorReply::new("invalid", NOT_AN_OBJECT)))
            }
        }
    }

    /// Returns whether the request changes a group, so that it is committed with others.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        matches!(
            self,
            Self::Send(_) | Self::Edit(_) | Self::Delete(_) | Self::React(_)
        )
    }

    /// Reads the fields by the type that the frame names.
    ///
    /// This match replaces `#[derive(Deserialize)]`: serde's parser of a tagged enum copies all fields into a buffer
    /// first, and its errors do not name the field.
    fn from_fields(mut fields: Fields) -> Result<Self, FieldError> {
        let kind = match fields.get_mut(TYPE_FIELD).map(mem::take) {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(type_error(Fault::Invalid(NOT_A_STRING.to_owned()))),
            None => return Err(type_error(Fault::Missing)),
        };
        fn read<T: DeserializeOwned>(
            variant: fn(T) -> Request,
            fields: Fields,
        ) -> Result<Request, FieldError> {
            from_fields(fields).map(variant)
        }
        match &*kind {
            "send" => read(Self::Send, fields),
            "read" => read(Self::Read, fields),
            "typing" => read(Self::Typing, fields),
            "react" => read(Self::React, fields),
            "edit" => read(Self::Edit, fields),
            "delete" => read(Self::Delete, fields),
            "sub" => read(Self::Sub, fields),
            "unsub" => read(Self::Unsub, fields),
            "auth" => read(Self::Auth, fields),
            _ => Err(type_error(Fault::Invalid(UNKNOWN_TYPE.to_owned()))),
        }
    }
}

fn type_error(fault: Fault) -> FieldError {
    FieldError {
        field: Some(TYPE_FIELD),
        fault,
    }
}

/// Returns the reply to a frame with an error in a field.
fn error_reply(error: FieldError, id: Option<RequestId>) -> ErrorReply<'static> {
    let field = error.field;
    let (code, message) = match error.fault {
        // Every error of an id has the same text, also the error of a missing id.
        _ if field == Some(ID_FIELD) => ("invalid", Cow::Borrowed(NOT_AN_ID)),
        Fault::Missing => ("invalid", FIELD_REQUIRED.into()),
        Fault::Null { expected } | Fault::Mismatch { expected, .. } => {
            ("invalid", expectation_text(expected))
        }
        Fault::Invalid(text) => ("invalid", text.into()),
        Fault::TooLarge(text) => ("too_large", text.into()),
    };
    ErrorReply {
        field,
        ..ErrorReply::new(code, message)
    }
    .with_id(id.map(|id| id.0))
}

/// Returns the text for a value of another type. The types of this module state their expectation as a sentence.
fn expectation_text(expected: String) -> Cow<'static, str> {
    match &*expected {
        "a string" => NOT_A_STRING.into(),
        "a boolean" => NOT_A_BOOLEAN.into(),
        _ => expected.into(),
    }
}

/// The client's number of a request: a whole number that every JSON reader keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub i64);

impl RequestId {
    fn from_value(value: &Value) -> Option<Self> {
        let id = value.as_i64()?;
        (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER)
            .contains(&id)
            .then_some(Self(id))
    }

    fn schema() -> Object {
        field(
            Type::Integer,
            "Your number of this request; the reply has the same number.",
            json!(7),
        )
        .minimum(Some(-MAX_SAFE_INTEGER))
        .maximum(Some(MAX_SAFE_INTEGER))
        .build()
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_i64(WholeNumber {
            least: -MAX_SAFE_INTEGER,
            rule: NOT_AN_ID,
        });
        number.map(Self)
    }
}

/// The number of an event, from `LEAST` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seq<const LEAST: i64>(pub i64);

/// The `seq` of a message.
pub type MessageSeq = Seq<1>;

/// A position in a log: the `seq` of the last event before it, or 0.
pub type Position = Seq<0>;

impl MessageSeq {
    fn schema() -> Object {
        field(Type::Integer, "The `seq` of the message.", json!(41))
            .minimum(Some(1))
            .maximum(Some(MAX_SAFE_INTEGER))
            .build()
    }
}

impl<'de, const LEAST: i64> Deserialize<'de> for Seq<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_i64(WholeNumber {
            least: LEAST,
            rule: NOT_A_SEQ,
        });
        number.map(Self)
    }
}

/// Reads a whole number from `least` to [`MAX_SAFE_INTEGER`].
struct WholeNumber {
    least: i64,
    rule: &'static str,
}

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.rule)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        if (self.least..=MAX_SAFE_INTEGER).contains(&number) {
            Ok(number)
        } else {
            Err(E::custom(self.rule))
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::custom(self.rule)),
        }
    }
}

/// The name of a group: any text.
///
/// A group that does not exist and a group without the user get the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct GroupName(String);

impl Deref for GroupName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl GroupName {
    fn schema() -> Object {
        field(
            Type::String,
            "The name of the group.",
            json!("chat_a1b2c3d4"),
        )
        .build()
    }
}

/// The text of a message, by the rule of [`messages::check_text`].
#[derive(Debug, PartialEq, Eq)]
pub struct MessageText(pub String);

impl MessageText {
    fn schema() -> Object {
        let what = "The text of the message. Its length is counted in Unicode code points.";
        field(Type::String, what, json!("hi"))
            .min_length(Some(1))
            .max_length(Some(MAX_TEXT_CHARS))
            .build()
    }
}

impl<'de> Deserialize<'de> for MessageText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match messages::check_text(&text) {
            Ok(()) => Ok(Self(text)),
            Err(messages::TextError::Blank) => Err(de::Error::custom(BLANK_TEXT)),
            Err(messages::TextError::TooLong) => {
                Err(de::Error::invalid_length(text.len(), &TEXT_TOO_LONG))
            }
        }
    }
}

/// The client's own id of a command, by the rule of [`messages::is_valid_cid`].
#[derive(Debug, PartialEq, Eq)]
pub struct Cid(pub String);

impl Cid {
    fn schema() -> Object {
        let what = "Your own id of this request. A retry with the same id has no second effect.";
        field(Type::String, what, json!("01JD3ZK8Q4"))
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .pattern(Some(format!("^[!-~]{{1,{MAX_CID_CHARS}}}$")))
            .build()
    }
}

impl<'de> Deserialize<'de> for Cid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const _: () = assert!(MAX_CID_CHARS == 128, "NOT_A_CID states the number");
        let cid = String::deserialize(deserializer)?;
        if messages::is_valid_cid(&cid) {
            Ok(Self(cid))
        } else {
            Err(de::Error::custom(NOT_A_CID))
        }
    }
}

fn emoji<'de, D: Deserializer<'de>>(deserializer: D) -> Result<reactions::Emoji, D::Error> {
    let text = String::deserialize(deserializer)?;
    reactions::Emoji::parse(&text)
        .ok_or_else(|| de::Error::custom(reactions::Emoji::INVALID_EMOJI_TEXT))
}

/// Reads the groups of `unsub`. Any error in the list has the same text.
fn group_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GroupName>, D::Error> {
    Vec::deserialize(deserializer).map_err(|_| de::Error::custom(NOT_GROUP_NAMES))
}

/// Reads the groups of `sub`. Any error in the list has the same text.
fn group_positions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<GroupPosition>, D::Error> {
    Vec::deserialize(deserializer).map_err(|_| de::Error::custom(NOT_GROUP_POSITIONS))
}

fn field(of: Type, description: &str, example: Value) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(of)
        .description(Some(description))
        .examples([example])
}
