//! From the types of the frames to the messages of the document.

use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{
    channels::protocol::{
        base::{ChatMessage, Post},
        forms::Form,
        rich::Frame,
        whisper::Whisper,
    },
    views::events::{Event, Happening},
};

const SCHEMAS: &str = "#/components/schemas/";

/// What is said on a socket, by name; the names begin with who says it.
pub(super) struct Messages(Map<String, Value>);

impl Messages {
    /// Of a base socket.
    pub fn base() -> Self {
        let title = "Post a message";
        let post = merged([schema::<Post>(), json!({"title": title})]);
        let title = "The greeting, an answer, or news of a message";
        let kind = json!({"type": {
            "type": "string", "const": "chat_message", "examples": ["chat_message"],
        }});
        let named = json!({"title": title, "properties": kind});
        let shown = merged([schema::<ChatMessage<'static>>(), named]);
        Self(Map::from_iter([
            ("base.client.post".to_owned(), message("post", post)),
            (
                "base.server.chat_message".to_owned(),
                message("chat_message", shown),
            ),
        ]))
    }

    /// Of a rich socket.
    pub fn rich() -> Self {
        let mut messages = Map::new();
        for form in variants::<Form>() {
            let name = constant(&form, "type");
            messages.insert(format!("client.{name}"), message(&name, form));
        }
        for frame in variants::<Frame<'static>>()
            .into_iter()
            .chain(variants::<Whisper<'static>>())
        {
            let name = constant(&frame, "type");
            messages.insert(format!("server.{name}"), message(&name, frame));
        }
        // An event is one of its kinds, with the data of that kind.
        let event = json!({"properties": {"type": {"type": "string", "const": "event"}}});
        let event = merged([schema::<Event<'static>>(), event]);
        for happening in variants::<Happening>() {
            let kind = constant(&happening, "kind");
            let happening = merged([event.clone(), happening, json!({"title": kind})]);
            messages.insert(format!("server.event.{kind}"), message("event", happening));
        }
        Self(messages)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn asked(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("client."))
            .collect()
    }

    pub fn told(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("server."))
            .collect()
    }

    /// Those of the server that answer one of a client.
    pub fn replies(&self) -> Vec<&str> {
        const REPLIES: [&str; 3] = ["base.server.chat_message", "server.ok", "server.error"];
        self.names().filter(|name| REPLIES.contains(name)).collect()
    }
}

impl IntoIterator for Messages {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn message(name: &str, mut payload: Value) -> Value {
    let example = example(&payload);
    let fields = payload.as_object_mut();
    let (title, summary) = fields
        .map(|fields| (fields.remove("title"), fields.remove("description")))
        .unwrap_or_default();
    // By the client's number for the request its reply is known.
    let correlation = payload
        .pointer("/properties/id")
        .map(|_| json!({"correlationId": {"location": "$message.payload#/id"}}));
    let message = json!({
        "name": name,
        "title": title,
        "summary": summary,
        "examples": [{"payload": example}],
        "payload": payload,
    });
    merged([message, correlation.unwrap_or_default()])
}

/// The schemas of an enum's variants.
fn variants<T: ToSchema>() -> Vec<Value> {
    let variants = schema::<T>().get_mut("oneOf").map(Value::take);
    match variants {
        Some(Value::Array(variants)) => variants,
        _ => Vec::new(),
    }
}

/// The schema of a type, complete in itself.
fn schema<T: ToSchema>() -> Value {
    let mut others = Vec::new();
    T::schemas(&mut others);
    complete(json(&T::schema()), &others)
}

fn json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("a schema is JSON, and its keys are texts")
}

/// Puts what a schema refers to in its place, and writes it as AsyncAPI does.
fn complete(schema: Value, others: &[(String, RefOr<Schema>)]) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => {
            let items = items.into_iter();
            return items.map(|item| complete(item, others)).collect();
        }
        other => return other,
    };
    let mut whole = Value::Object(Map::new());
    for (key, value) in fields {
        let part = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let name = reference.trim_start_matches(SCHEMAS);
                let found = others.iter().find(|(other, _)| other == name);
                found.map_or(Value::Null, |(_, found)| complete(json(found), others))
            }
            ("allOf", Value::Array(parts)) => {
                merged(parts.into_iter().map(|part| complete(part, others)))
            }
            // As they are: a value may look like anything.
            ("example", value) => json!({"examples": [value]}),
            ("examples", value) => json!({"examples": value}),
            ("enum", Value::Array(values)) => match values.as_slice() {
                [value] => json!({"const": value}),
                _ => json!({"enum": values}),
            },
            // How large a number is in memory is nothing to a client.
            ("format", Value::String(format)) if format.starts_with("int") => Value::Null,
            ("description", Value::String(text)) => json!({"description": text.replace('\n', " ")}),
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter();
                let properties: Map<_, _> = properties
                    .map(|(name, property)| (name, complete(property, others)))
                    .collect();
                json!({"properties": properties})
            }
            (_, value) => json!({key: complete(value, others)}),
        };
        // What is said where it is used comes after what is said in general: "$" and "allOf" are
        // the first in order.
        whole = merged([whole, part]);
    }
    whole
}

/// One schema of many, all of which hold; a later one decides where two differ.
fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    let mut whole = Map::new();
    for part in parts {
        let Value::Object(part) = part else { continue };
        for (key, value) in part {
            match (whole.get_mut(&key), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (Some(Value::Array(old)), Value::Array(new)) if key == "required" => {
                    old.retain(|name| !new.contains(name));
                    old.extend(new);
                }
                (_, value) => {
                    whole.insert(key, value);
                }
            }
        }
    }
    whole.into()
}

/// The only value that a property may have.
fn constant(schema: &Value, property: &str) -> String {
    let property = schema.get("properties").and_then(|all| all.get(property));
    let value = property.and_then(|property| property.get("const"));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An example made of those of the parts. A part that may be left out and has none is left out.
fn example(schema: &Value) -> Value {
    if let Some(example) = schema.pointer("/examples/0") {
        return example.clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|n| n == name));
        let properties = properties
            .iter()
            .filter(|(name, property)| is_required(name) || property.get("examples").is_some());
        let fields = properties.map(|(name, property)| (name.clone(), example(property)));
        return fields.collect::<Map<_, _>>().into();
    }
    match schema.get("items") {
        Some(items) => json!([example(items)]),
        None => Value::Null,
    }
}
