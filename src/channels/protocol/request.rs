//! What a rich client sends, read field by field, so that an error can name the field.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::rich::Fault;
use crate::models::{
    changes::What,
    messages::{self, CID_LIMIT},
    reactions::Emoji,
};

/// The largest whole number that every JSON reader keeps (RFC 8259, section 6).
pub(super) const MAX_NUMBER: i64 = (1 << 53) - 1;

const MISSING: &str = "This field is required.";
const NOT_A_TEXT: &str = "This must be a text.";
const NOT_A_FLAG: &str = "This must be true or false.";
const NOT_A_NUMBER: &str = "This must be a whole number, 1 or more.";

/// A frame of a rich client.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// To be answered with this id.
    Asked { id: i64, ask: Ask },
    /// Has no reply, and may be dropped.
    Read { group: String, seq: i64 },
    /// The same.
    Typing { group: String, on: bool },
    /// To be answered by this.
    Faulty(Fault<'static>),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// Something of the conversation changes.
    Change {
        group: String,
        cid: Option<String>,
        what: What,
    },
    /// Tell me, from an event on, or from now on.
    Sub {
        epoch: Option<String>,
        groups: Vec<Place>,
    },
    /// Tell me no more.
    Unsub { groups: Vec<String> },
    /// I have a new token, or look at my session again.
    Auth { token: Option<String> },
}

/// A group, and the last event that the client has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
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
            let fault = Fault::new(
                "invalid",
                "A frame is a JSON object, not a deep one, of proper texts.",
            );
            return Some(Self::Faulty(fault));
        };
        let id = fields.get("id").and_then(Value::as_i64);
        let id = id.filter(|id| (-MAX_NUMBER..=MAX_NUMBER).contains(id));
        Some(match read(&Fields(fields), id) {
            Ok(request) => request,
            Err(fault) => Self::Faulty(fault.to(id)),
        })
    }
}

fn read(fields: &Fields, id: Option<i64>) -> Result<Request, Fault<'static>> {
    let kind = fields.text("type")?;
    match kind {
        "read" => {
            return Ok(Request::Read {
                group: fields.text("group")?.to_owned(),
                seq: fields.position("seq")?,
            });
        }
        "typing" => {
            return Ok(Request::Typing {
                group: fields.text("group")?.to_owned(),
                on: fields.flag("on")?,
            });
        }
        _ => {}
    }
    let change = |what| {
        Ok(Ask::Change {
            group: fields.text("group")?.to_owned(),
            cid: fields.cid()?,
            what,
        })
    };
    let ask = match kind {
        "send" => change(What::Send {
            text: fields.message()?,
            reply_to: fields.optional("reply_to", Fields::seq)?,
        })?,
        "edit" => change(What::Edit {
            seq: fields.seq("seq")?,
            text: fields.message()?,
        })?,
        "delete" => change(What::Delete {
            seq: fields.seq("seq")?,
        })?,
        "react" => change(What::React {
            seq: fields.seq("seq")?,
            emoji: fields.emoji()?,
            on: fields.flag("on")?,
        })?,
        "sub" => Ask::Sub {
            epoch: fields
                .optional("epoch", Fields::text)?
                .map(ToOwned::to_owned),
            groups: fields.places()?,
        },
        "unsub" => Ask::Unsub {
            groups: fields.names()?,
        },
        "auth" => Ask::Auth {
            token: fields
                .optional("token", Fields::text)?
                .map(ToOwned::to_owned),
        },
        _ => return Err(Fault::invalid("type", "There is no such request.")),
    };
    let id = id.ok_or(Fault::invalid("id", "This must be a whole number."))?;
    Ok(Request::Asked { id, ask })
}

struct Fields(Map<String, Value>);

impl Fields {
    fn value(&self, field: &'static str) -> Result<&Value, Fault<'static>> {
        self.0.get(field).ok_or(Fault::invalid(field, MISSING))
    }

    fn text(&self, field: &'static str) -> Result<&str, Fault<'static>> {
        let text = self.value(field)?.as_str();
        text.ok_or(Fault::invalid(field, NOT_A_TEXT))
    }

    fn flag(&self, field: &'static str) -> Result<bool, Fault<'static>> {
        let flag = self.value(field)?.as_bool();
        flag.ok_or(Fault::invalid(field, NOT_A_FLAG))
    }

    fn seq(&self, field: &'static str) -> Result<i64, Fault<'static>> {
        let seq = self.value(field)?.as_i64();
        seq.filter(|seq| (1..=MAX_NUMBER).contains(seq))
            .ok_or(Fault::invalid(field, NOT_A_NUMBER))
    }

    /// The number of an event, or 0: before the first.
    fn position(&self, field: &'static str) -> Result<i64, Fault<'static>> {
        let seq = self.value(field)?.as_i64();
        seq.filter(|seq| (0..=MAX_NUMBER).contains(seq))
            .ok_or(Fault::invalid(field, NOT_A_NUMBER))
    }

    /// A field that may be missing or null.
    fn optional<'a, T>(
        &'a self,
        field: &'static str,
        read: impl FnOnce(&'a Self, &'static str) -> Result<T, Fault<'static>>,
    ) -> Result<Option<T>, Fault<'static>> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, field).map(Some),
        }
    }

    fn message(&self) -> Result<String, Fault<'static>> {
        let text = self.text("text")?;
        messages::check_text(text).map_err(|error| {
            let message = match error {
                messages::TextError::Blank => "This needs at least one visible character.",
                messages::TextError::TooLong => "This has more characters than `limits.text`.",
            };
            Fault::new(error.code(), message).at("text")
        })?;
        Ok(text.to_owned())
    }

    fn emoji(&self) -> Result<Emoji, Fault<'static>> {
        let emoji = Emoji::parse(self.text("emoji")?);
        emoji.ok_or(Fault::invalid("emoji", Emoji::RULE))
    }

    fn cid(&self) -> Result<Option<String>, Fault<'static>> {
        const RULE: &str = "This must be 1 to 128 characters of ASCII, without spaces.";
        const _: () = assert!(CID_LIMIT == 128, "as the text says");
        let cid = self.optional("cid", Self::text)?;
        if cid.is_some_and(|cid| !messages::is_cid(cid)) {
            return Err(Fault::invalid("cid", RULE));
        }
        Ok(cid.map(ToOwned::to_owned))
    }

    fn names(&self) -> Result<Vec<String>, Fault<'static>> {
        let names = self.value("groups")?.as_array();
        let names = names.and_then(|names| {
            let names = names.iter().map(|name| Some(name.as_str()?.to_owned()));
            names.collect()
        });
        names.ok_or(Fault::invalid("groups", "This must be a list of names."))
    }

    fn places(&self) -> Result<Vec<Place>, Fault<'static>> {
        const RULE: &str =
            r#"This must be a list of {"group": "…", "after": 41}; `after` may be left out."#;
        let fault = || Fault::invalid("groups", RULE);
        let places = self.value("groups")?.as_array().ok_or_else(fault)?;
        places
            .iter()
            .map(|place| {
                let after = match place.get("after") {
                    None | Some(Value::Null) => None,
                    Some(after) => Some(
                        after
                            .as_i64()
                            .filter(|after| (0..=MAX_NUMBER).contains(after))
                            .ok_or_else(fault)?,
                    ),
                };
                let group = place
                    .get("group")
                    .and_then(Value::as_str)
                    .ok_or_else(fault)?;
                Ok(Place {
                    group: group.to_owned(),
                    after,
                })
            })
            .collect()
    }
}
