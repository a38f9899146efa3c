//! The conventions of the served AsyncAPI document, for generated types.
//!
//! Each payload is a component with a name, each object and enumeration in it has a title, and times are of the
//! format `date-time`.

use serde_json::{Map, Value, json};

const SCHEMA_REF_PREFIX: &str = "#/components/schemas/";

/// Returns the document with each payload as a named component.
#[must_use]
pub fn apply_conventions(document: &Value) -> Value {
    let mut document = document.clone();
    let mut schemas = Map::new();
    if let Some(Value::Object(messages)) = document.pointer_mut("/components/messages") {
        for (name, message) in messages {
            let title = type_name(name);
            let reference = json!({"$ref": format!("{SCHEMA_REF_PREFIX}{title}")});
            let Some(payload) = message.get_mut("payload") else {
                continue;
            };
            let mut schema = std::mem::replace(payload, reference);
            annotate_schema(&mut schema, &title);
            schemas.insert(title, schema);
        }
    }
    if let Some(Value::Object(components)) = document.pointer_mut("/components") {
        components.insert("schemas".to_owned(), schemas.into());
    }
    document
}

/// Returns the name of a type: `server.event.message.created` is `ServerEventMessageCreated`.
fn type_name(name: &str) -> String {
    let words = name.split(['.', '_']);
    words
        .filter_map(|word| {
            let mut letters = word.chars();
            let first = letters.next()?.to_ascii_uppercase();
            Some(std::iter::once(first).chain(letters).collect::<String>())
        })
        .collect()
}

fn annotate_schema(schema: &mut Value, title: &str) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    if fields.contains_key("properties") || fields.contains_key("enum") {
        fields.entry("title").or_insert_with(|| json!(title));
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, property) in properties {
            if (name == "at" || name.ends_with("_at"))
                && let Some(property) = property.as_object_mut()
                && property.get("type").is_some_and(|name| name == "string")
            {
                property
                    .entry("format")
                    .or_insert_with(|| json!("date-time"));
            }
            annotate_schema(property, &format!("{title}{}", type_name(name)));
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            annotate_schema(inner, &format!("{title}Item"));
        }
    }
    for of in ["oneOf", "anyOf"] {
        let parts = fields.get_mut(of).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            annotate_schema(part, title);
        }
    }
}
