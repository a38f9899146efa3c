//! What a rich client sends, read field by field, so that an error can name the field.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::rich::ErrorReply;
use crate::models::{
    group_commands::CommandKind,
    messages::{self, MAX_CID_CHARS},
    reactions::Emoji,
};

/// The largest whole number that every JSON reader keeps (RFC 8259, section 6).
pub(super) const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

const FIELD_REQUIRED: &str = "This field is required.";
const NOT_A_STRING: &str = "This must be a text.";
const NOT_A_BOOLEAN: &str = "This must be true or false.";
const NOT_A_SEQ: &str = "This must be a whole number, 1 or more.";

/// A frame of a rich client.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// To be answered with this id.
    Action { id: i64, ask: Action },
    /// Has no reply, and may be dropped.
    Read { group: String, seq: i64 },
    /// The same.
    Typing { group: String, on: bool },
    /// To be answered by this.
    Invalid(ErrorReply<'static>),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Something of the conversation changes.
    Command {
        group: String,
        cid: Option<String>,
        kind: CommandKind,
    },
    /// Tell me, from an event on, or from now on.
    Subscribe {
        epoch: Option<String>,
        groups: Vec<GroupPosition>,
    },
    /// Tell me no more.
    Unsubscribe { groups: Vec<String> },
    /// I have a new token, or look at my session again.
    Authenticate { token: Option<String> },
}

/// A group, and the last event that the client has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPosition {
    pub group: String,
    pub after: Option<i64>,
}

impl Request {
    /// `None` when the text is not JSON (RFC 8259).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Depth does not matter here: what is nested is skipped without recursion.
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            let fault = ErrorReply::new(
                "invalid",
                "A frame is a JSON object, not a deep one, of proper texts.",
            );
            return Some(Self::Invalid(fault));
        };
        let id = fields.get("id").and_then(Value::as_i64);
        let id = id.filter(|id| (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(id));
        Some(match parse_request(&RequestFields(fields), id) {
            Ok(request) => request,
            Err(fault) => Self::Invalid(fault.with_id(id)),
        })
    }
}

fn parse_request(fields: &RequestFields, id: Option<i64>) -> Result<Request, ErrorReply<'static>> {
    let kind = fields.string("type")?;
    match kind {
        "read" => {
            return Ok(Request::Read {
                group: fields.string("group")?.to_owned(),
                seq: fields.seq_or_zero("seq")?,
            });
        }
        "typing" => {
            return Ok(Request::Typing {
                group: fields.string("group")?.to_owned(),
                on: fields.boolean("on")?,
            });
        }
        _ => {}
    }
    let change = |what| {
        Ok(Action::Command {
            group: fields.string("group")?.to_owned(),
            cid: fields.cid()?,
            kind: what,
        })
    };
    let ask = match kind {
        "send" => change(CommandKind::Send {
            text: fields.message_text()?,
            reply_to: fields.optional("reply_to", RequestFields::seq)?,
        })?,
        "edit" => change(CommandKind::Edit {
            seq: fields.seq("seq")?,
            text: fields.message_text()?,
        })?,
        "delete" => change(CommandKind::Delete {
            seq: fields.seq("seq")?,
        })?,
        "react" => change(CommandKind::React {
            seq: fields.seq("seq")?,
            emoji: fields.emoji()?,
            on: fields.boolean("on")?,
        })?,
        "sub" => Action::Subscribe {
            epoch: fields
                .optional("epoch", RequestFields::string)?
                .map(ToOwned::to_owned),
            groups: fields.group_positions()?,
        },
        "unsub" => Action::Unsubscribe {
            groups: fields.group_names()?,
        },
        "auth" => Action::Authenticate {
            token: fields
                .optional("token", RequestFields::string)?
                .map(ToOwned::to_owned),
        },
        _ => return Err(ErrorReply::invalid("type", "There is no such request.")),
    };
    let id = id.ok_or(ErrorReply::invalid("id", "This must be a whole number."))?;
    Ok(Request::Action { id, ask })
}

struct RequestFields(Map<String, Value>);

impl RequestFields {
    fn required(&self, field: &'static str) -> Result<&Value, ErrorReply<'static>> {
        self.0
            .get(field)
            .ok_or(ErrorReply::invalid(field, FIELD_REQUIRED))
    }

    fn string(&self, field: &'static str) -> Result<&str, ErrorReply<'static>> {
        let text = self.required(field)?.as_str();
        text.ok_or(ErrorReply::invalid(field, NOT_A_STRING))
    }

    fn boolean(&self, field: &'static str) -> Result<bool, ErrorReply<'static>> {
        let flag = self.required(field)?.as_bool();
        flag.ok_or(ErrorReply::invalid(field, NOT_A_BOOLEAN))
    }

    fn seq(&self, field: &'static str) -> Result<i64, ErrorReply<'static>> {
        let seq = self.required(field)?.as_i64();
        seq.filter(|seq| (1..=MAX_SAFE_INTEGER).contains(seq))
            .ok_or(ErrorReply::invalid(field, NOT_A_SEQ))
    }

    /// The number of an event, or 0: before the first.
    fn seq_or_zero(&self, field: &'static str) -> Result<i64, ErrorReply<'static>> {
        let seq = self.required(field)?.as_i64();
        seq.filter(|seq| (0..=MAX_SAFE_INTEGER).contains(seq))
            .ok_or(ErrorReply::invalid(field, NOT_A_SEQ))
    }

    /// A field that may be missing or null.
    fn optional<'a, T>(
        &'a self,
        field: &'static str,
        read: impl FnOnce(&'a Self, &'static str) -> Result<T, ErrorReply<'static>>,
    ) -> Result<Option<T>, ErrorReply<'static>> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, field).map(Some),
        }
    }

    fn message_text(&self) -> Result<String, ErrorReply<'static>> {
        let text = self.string("text")?;
        messages::check_text(text).map_err(|error| {
            let message = match error {
                messages::TextError::Blank => "This needs at least one visible character.",
                messages::TextError::TooLong => "This has more characters than `limits.text`.",
            };
            ErrorReply::new(error.code(), message).with_field("text")
        })?;
        Ok(text.to_owned())
    }

    fn emoji(&self) -> Result<Emoji, ErrorReply<'static>> {
        let emoji = Emoji::parse(self.string("emoji")?);
        emoji.ok_or(ErrorReply::invalid("emoji", Emoji::INVALID_EMOJI_TEXT))
    }

    fn cid(&self) -> Result<Option<String>, ErrorReply<'static>> {
        const RULE: &str = "This must be 1 to 128 characters of ASCII, without spaces.";
        const _: () = assert!(MAX_CID_CHARS == 128, "as the text says");
        let cid = self.optional("cid", Self::string)?;
        if cid.is_some_and(|cid| !messages::is_valid_cid(cid)) {
            return Err(ErrorReply::invalid("cid", RULE));
        }
        Ok(cid.map(ToOwned::to_owned))
    }

    fn group_names(&self) -> Result<Vec<String>, ErrorReply<'static>> {
        let names = self.required("groups")?.as_array();
        let names = names.and_then(|names| {
            let names = names.iter().map(|name| Some(name.as_str()?.to_owned()));
            names.collect()
        });
        names.ok_or(ErrorReply::invalid(
            "groups",
            "This must be a list of names.",
        ))
    }

    fn group_positions(&self) -> Result<Vec<GroupPosition>, ErrorReply<'static>> {
        const RULE: &str =
            r#"This must be a list of {"group": "…", "after": 41}; `after` may be left out."#;
        let fault = || ErrorReply::invalid("groups", RULE);
        let places = self.required("groups")?.as_array().ok_or_else(fault)?;
        places
            .iter()
            .map(|place| {
                let after = match place.get("after") {
                    None | Some(Value::Null) => None,
                    Some(after) => Some(
                        after
                            .as_i64()
                            .filter(|after| (0..=MAX_SAFE_INTEGER).contains(after))
                            .ok_or_else(fault)?,
                    ),
                };
                let group = place
                    .get("group")
                    .and_then(Value::as_str)
                    .ok_or_else(fault)?;
                Ok(GroupPosition {
                    group: group.to_owned(),
                    after,
                })
            })
            .collect()
    }
}
