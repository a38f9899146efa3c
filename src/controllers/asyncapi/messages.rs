//! From the types of the frames to the messages of the document.

use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{
    channels::protocol::{
        base::{ChatMessage, Post},
        ephemeral::EphemeralEvent,
        request::Request,
        rich::Frame,
    },
    models::event_data::EventData,
    views::events::Event,
};

const SCHEMA_REF_PREFIX: &str = "#/components/schemas/";

/// What is said on a socket, by name; the names begin with who says it.
pub(super) struct MessageSchemas(Map<String, Value>);

impl MessageSchemas {
    /// Of a base socket.
    pub fn base() -> Self {
        let title = "Post a message";
        let post = merge_schemas([full_schema::<Post>(), json!({"title": title})]);
        let title = "The greeting, an answer, or news of a message";
        let kind = json!({"type": {
            "type": "string", "const": "chat_message", "examples": ["chat_message"],
        }});
        let named = json!({"title": title, "properties": kind});
        let shown = merge_schemas([full_schema::<ChatMessage<'static>>(), named]);
        Self(Map::from_iter([
            (
                "base.client.post".to_owned(),
                describe_message("post", post),
            ),
            (
                "base.server.chat_message".to_owned(),
                describe_message("chat_message", shown),
            ),
        ]))
    }

    /// Of a rich socket.
    pub fn rich() -> Self {
        let mut messages = Map::new();
        for form in variant_schemas::<Request>() {
            let name = const_value(&form, "type");
            messages.insert(format!("client.{name}"), describe_message(&name, form));
        }
        for frame in variant_schemas::<Frame<'static>>()
            .into_iter()
            .chain(variant_schemas::<EphemeralEvent<'static>>())
        {
            let name = const_value(&frame, "type");
            messages.insert(format!("server.{name}"), describe_message(&name, frame));
        }
        // An event is one of its kinds, with the data of that kind.
        let event = json!({"properties": {"type": {"type": "string", "const": "event"}}});
        let event = merge_schemas([full_schema::<Event<'static>>(), event]);
        for happening in variant_schemas::<EventData>() {
            let kind = const_value(&happening, "kind");
            let happening = merge_schemas([event.clone(), happening, json!({"title": kind})]);
            messages.insert(
                format!("server.event.{kind}"),
                describe_message("event", happening),
            );
        }
        Self(messages)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn client_names(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("client."))
            .collect()
    }

    pub fn server_names(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("server."))
            .collect()
    }

    /// Those of the server that answer one of a client.
    pub fn reply_names(&self) -> Vec<&str> {
        const REPLIES: [&str; 3] = ["base.server.chat_message", "server.ok", "server.error"];
        self.names().filter(|name| REPLIES.contains(name)).collect()
    }
}

impl IntoIterator for MessageSchemas {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn describe_message(name: &str, mut payload: Value) -> Value {
    let example = build_example(&payload);
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
    merge_schemas([message, correlation.unwrap_or_default()])
}

/// The schemas of an enum's variants.
fn variant_schemas<T: ToSchema>() -> Vec<Value> {
    let variants = full_schema::<T>().get_mut("oneOf").map(Value::take);
    match variants {
        Some(Value::Array(variants)) => variants,
        _ => Vec::new(),
    }
}

/// The schema of a type, complete in itself.
fn full_schema<T: ToSchema>() -> Value {
    let mut others = Vec::new();
    T::schemas(&mut others);
    resolve_schema(schema_to_json(&T::schema()), &others)
}

fn schema_to_json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("a schema is JSON, and its keys are texts")
}

/// Puts what a schema refers to in its place, and writes it as AsyncAPI does.
fn resolve_schema(schema: Value, others: &[(String, RefOr<Schema>)]) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => {
            let items = items.into_iter();
            return items.map(|item| resolve_schema(item, others)).collect();
        }
        other => return other,
    };
    let mut whole = Value::Object(Map::new());
    for (key, value) in fields {
        let part = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let name = reference.trim_start_matches(SCHEMA_REF_PREFIX);
                let found = others.iter().find(|(other, _)| other == name);
                found.map_or(Value::Null, |(_, found)| {
                    resolve_schema(schema_to_json(found), others)
                })
            }
            ("allOf", Value::Array(parts)) => {
                merge_schemas(parts.into_iter().map(|part| resolve_schema(part, others)))
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
                    .map(|(name, property)| (name, resolve_schema(property, others)))
                    .collect();
                json!({"properties": properties})
            }
            (_, value) => json!({key: resolve_schema(value, others)}),
        };
        // What is said where it is used comes after what is said in general: "$" and "allOf" are
        // the first in order.
        whole = merge_schemas([whole, part]);
    }
    whole
}

/// One schema of many, all of which hold; a later one decides where two differ.
fn merge_schemas(parts: impl IntoIterator<Item = Value>) -> Value {
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
fn const_value(schema: &Value, property: &str) -> String {
    let property = schema.get("properties").and_then(|all| all.get(property));
    let value = property.and_then(|property| property.get("const"));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An example made of those of the parts. A part that may be left out and has none is left out.
fn build_example(schema: &Value) -> Value {
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
        let fields = properties.map(|(name, property)| (name.clone(), build_example(property)));
        return fields.collect::<Map<_, _>>().into();
    }
    match schema.get("items") {
        Some(items) => json!([build_example(items)]),
        None => Value::Null,
    }
}
