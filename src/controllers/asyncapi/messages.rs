//! The messages of the AsyncAPI document, generated from the types of the frames.

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

/// The messages of a socket by name, such as `client.send`, `server.event.message.created` and `base.client.post`.
pub(super) struct MessageSchemas(Map<String, Value>);

impl MessageSchemas {
    /// Returns the messages of a base socket.
    pub fn base() -> Self {
        let post = merge_schemas([full_schema::<Post>(), json!({"title": "Post a message"})]);
        let type_property = json!({"type": {
            "type": "string", "const": "chat_message", "examples": ["chat_message"],
        }});
        let details = json!({
            "title": "A greeting, a reply, or a message",
            "properties": type_property,
        });
        let chat_message = merge_schemas([full_schema::<ChatMessage<'static>>(), details]);
        Self(Map::from_iter([
            (
                "base.client.post".to_owned(),
                describe_message("post", post),
            ),
            (
                "base.server.chat_message".to_owned(),
                describe_message("chat_message", chat_message),
            ),
        ]))
    }

    /// Returns the messages of a rich socket.
    pub fn rich() -> Self {
        let mut messages = Map::new();
        for request in variant_schemas::<Request>() {
            let name = const_value(&request, "type");
            messages.insert(format!("client.{name}"), describe_message(&name, request));
        }
        for frame in variant_schemas::<Frame<'static>>()
            .into_iter()
            .chain(variant_schemas::<EphemeralEvent<'static>>())
        {
            let name = const_value(&frame, "type");
            messages.insert(format!("server.{name}"), describe_message(&name, frame));
        }
        // Each kind of event has a message of its own, with the data of that kind.
        let event = json!({"properties": {"type": {"type": "string", "const": "event"}}});
        let event = merge_schemas([full_schema::<Event<'static>>(), event]);
        for data in variant_schemas::<EventData>() {
            let kind = const_value(&data, "kind");
            let event = merge_schemas([event.clone(), data, json!({"title": kind})]);
            messages.insert(
                format!("server.event.{kind}"),
                describe_message("event", event),
            );
        }
        Self(messages)
    }

    /// Returns the names of all messages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the names of the messages that clients send.
    pub fn client_names(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("client."))
            .collect()
    }

    /// Returns the names of the messages that the server sends.
    pub fn server_names(&self) -> Vec<&str> {
        self.names()
            .filter(|name| name.contains("server."))
            .collect()
    }

    /// Returns the names of the server's messages that reply to a client's message.
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
    let has_id = payload.pointer("/properties/id").is_some();
    let mut message = json!({
        "name": name,
        "title": title,
        "summary": summary,
        "examples": [{"payload": example}],
        "payload": payload,
    });
    // A reply repeats the `id` of its request.
    if has_id {
        let correlation_id = json!({"correlationId": {"location": "$message.payload#/id"}});
        message = merge_schemas([message, correlation_id]);
    }
    message
}

/// Returns the schemas of the variants of an enum.
fn variant_schemas<T: ToSchema>() -> Vec<Value> {
    let variants = full_schema::<T>().get_mut("oneOf").map(Value::take);
    match variants {
        Some(Value::Array(variants)) => variants,
        _ => Vec::new(),
    }
}

/// Returns the schema of a type, without references to other schemas.
fn full_schema<T: ToSchema>() -> Value {
    let mut referenced = Vec::new();
    T::schemas(&mut referenced);
    resolve_schema(schema_to_json(&T::schema()), &referenced)
}

fn schema_to_json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema)
        .expect("the keys of a schema are strings, so serde_json cannot fail")
}

/// Replaces each reference in a schema by the schema that it refers to, and converts the schema to AsyncAPI's form.
///
/// `referenced` has the schemas to which the schema refers.
fn resolve_schema(schema: Value, referenced: &[(String, RefOr<Schema>)]) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => {
            let items = items.into_iter();
            return items.map(|item| resolve_schema(item, referenced)).collect();
        }
        other => return other,
    };
    let mut whole = Value::Object(Map::new());
    for (key, value) in fields {
        let part = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let name = reference.trim_start_matches(SCHEMA_REF_PREFIX);
                let target = referenced.iter().find(|(other, _)| other == name);
                target.map_or(Value::Null, |(_, schema)| {
                    resolve_schema(schema_to_json(schema), referenced)
                })
            }
            ("allOf", Value::Array(parts)) => {
                let parts = parts.into_iter();
                merge_schemas(parts.map(|part| resolve_schema(part, referenced)))
            }
            // The value of an example stays unchanged, because it may look like a schema.
            ("example", value) => json!({"examples": [value]}),
            ("examples", value) => json!({"examples": value}),
            ("enum", Value::Array(values)) => match values.as_slice() {
                [value] => json!({"const": value}),
                _ => json!({"enum": values}),
            },
            // The size of a number in memory does not matter to a client.
            ("format", Value::String(format)) if format.starts_with("int") => json!({}),
            ("description", Value::String(text)) => json!({"description": text.replace('\n', " ")}),
            // The keys are the names of fields, not keywords: a field may be named `format` or `example`.
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter();
                let properties: Map<_, _> = properties
                    .map(|(name, property)| (name, resolve_schema(property, referenced)))
                    .collect();
                json!({"properties": properties})
            }
            (_, value) => json!({key: resolve_schema(value, referenced)}),
        };
        // serde_json sorts the keys: `$ref` and `allOf` come before `description`, `example` and `title`. So the texts
        // of the field overwrite the texts of its type.
        whole = merge_schemas([whole, part]);
    }
    whole
}

/// Merges schemas into one. A later value replaces an earlier value of the same key.
///
/// Objects, such as `properties`, are merged by key, one level deep. Lists `required` are joined. Values that are not
/// objects are skipped.
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

/// Returns the only value that a property may have, or an empty string if the schema has no such property.
fn const_value(schema: &Value, property: &str) -> String {
    let property = schema.get("properties").and_then(|all| all.get(property));
    let value = property.and_then(|property| property.get("const"));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns an example of a schema, built from the examples of its parts. An optional part without an example is left
/// out.
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
