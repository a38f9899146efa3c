//! The requests of a rich client, as the documents show them. [`super::request`] reads them field
//! by field; a test holds the two against each other.

use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};

use super::request::MAX_SAFE_INTEGER;
use crate::models::messages::{MAX_CID_CHARS, MAX_TEXT_CHARS};

/// A frame of a rich client. A field that may be missing may also be null; fields that are not
/// named here are ignored; whole numbers are written without a fraction.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RequestSchema {
    /// The reply is followed by a frame `group` for each group, what you have missed of it, and
    /// `sync`. A socket of one group is subscribed to it from the start, and may ask again.
    #[schema(title = "Tell me what happens in these groups")]
    Sub {
        #[schema(schema_with = id)]
        id: i64,
        /// The `epoch` in which you got the numbers in `after`.
        #[schema(example = "7c9e6679742540de944be07fc1f90ae7")]
        epoch: Option<String>,
        /// Which, and from where on.
        groups: Vec<PlaceForm>,
    },
    /// The groups go on without this socket.
    #[schema(title = "Tell me no more of these groups")]
    Unsub {
        #[schema(schema_with = id)]
        id: i64,
        /// Their names.
        #[schema(example = json!(["chat_a1b2c3d4"]))]
        groups: Vec<String>,
    },
    /// The reply is `ok` once the message is stored.
    #[schema(title = "Send a message")]
    Send {
        #[schema(schema_with = id)]
        id: i64,
        #[schema(schema_with = group)]
        group: String,
        #[schema(schema_with = cid)]
        cid: Option<String>,
        #[schema(schema_with = text)]
        text: String,
        /// The `seq` of the message that it answers.
        #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
        reply_to: Option<i64>,
    },
    /// Only its author may.
    #[schema(title = "Give a message another text")]
    Edit {
        #[schema(schema_with = id)]
        id: i64,
        #[schema(schema_with = group)]
        group: String,
        #[schema(schema_with = message)]
        seq: i64,
        #[schema(schema_with = text)]
        text: String,
        #[schema(schema_with = cid)]
        cid: Option<String>,
    },
    /// Its author may, and so may admins and the owner.
    #[schema(title = "Delete a message")]
    Delete {
        #[schema(schema_with = id)]
        id: i64,
        #[schema(schema_with = group)]
        group: String,
        #[schema(schema_with = message)]
        seq: i64,
        #[schema(schema_with = cid)]
        cid: Option<String>,
    },
    /// The reply carries `seq`, and `dup` where nothing has changed by it.
    #[schema(title = "React to a message, or take it back")]
    React {
        #[schema(schema_with = id)]
        id: i64,
        #[schema(schema_with = group)]
        group: String,
        #[schema(schema_with = message)]
        seq: i64,
        /// One emoji.
        #[schema(example = "👍", format = "emoji")]
        emoji: String,
        /// False takes it back.
        #[schema(example = true)]
        on: bool,
        #[schema(schema_with = cid)]
        cid: Option<String>,
    },
    /// On all of your devices; it never goes back. There is no reply.
    #[schema(title = "I have read so far")]
    Read {
        #[schema(schema_with = group)]
        group: String,
        /// The last event that you have read; 0 changes nothing.
        #[schema(example = 57, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
        seq: i64,
    },
    /// Again every few seconds, as long as it goes on. There is no reply.
    #[schema(title = "I write, or have stopped")]
    Typing {
        #[schema(schema_with = group)]
        group: String,
        /// False when you have stopped.
        #[schema(example = true)]
        on: bool,
    },
    /// The reply says how long the socket lives now.
    #[schema(title = "Here is a new token")]
    Auth {
        #[schema(schema_with = id)]
        id: i64,
        /// A live access token; without one the server looks at your session again.
        #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2ln")]
        token: Option<String>,
    },
}

/// A group, and where you are in its log.
#[derive(ToSchema)]
pub struct PlaceForm {
    #[schema(schema_with = group)]
    pub group: String,
    /// The last event that you have; what comes from now on, if left out.
    #[schema(example = 41, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub after: Option<i64>,
}

fn id() -> Object {
    field(Type::Integer, "Your number for this request.", json!(7))
        .minimum(Some(-MAX_SAFE_INTEGER))
        .maximum(Some(MAX_SAFE_INTEGER))
        .build()
}

fn group() -> Object {
    field(
        Type::String,
        "The name of the group.",
        json!("chat_a1b2c3d4"),
    )
    .build()
}

fn message() -> Object {
    field(Type::Integer, "The `seq` of the message.", json!(41))
        .minimum(Some(1))
        .maximum(Some(MAX_SAFE_INTEGER))
        .build()
}

fn text() -> Object {
    let what = "What is said: characters as Unicode counts them.";
    field(Type::String, what, json!("hi"))
        .min_length(Some(1))
        .max_length(Some(MAX_TEXT_CHARS))
        .build()
}

/// As [`crate::models::messages::is_cid`] takes it.
fn cid() -> Object {
    let what = "Your own id of what you want done: a retry with the same is done once.";
    field(Type::String, what, json!("01JD3ZK8Q4"))
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .pattern(Some(format!("^[!-~]{{1,{MAX_CID_CHARS}}}$")))
        .build()
}

fn field(of: Type, description: &str, example: Value) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(of)
        .description(Some(description))
        .examples([example])
}
