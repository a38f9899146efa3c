//! Validates every frame of every test against the AsyncAPI document.

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use salam::controllers::asyncapi;
use serde_json::{Value, json};

pub static ASYNCAPI: LazyLock<Value> = LazyLock::new(asyncapi::document);

/// The validators, by name of the message.
static VALIDATORS: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let messages = ASYNCAPI["components"]["messages"].as_object().unwrap();
    let compiled = messages.iter().map(|(name, message)| {
        let mut schema = message["payload"].clone();
        if name.contains("server.") {
            forbid_unknown_fields(&mut schema);
        }
        (name.as_str(), jsonschema::validator_for(&schema).unwrap())
    });
    compiled.collect()
});

/// Forbids fields that the schema does not describe. A field that the server sends and the document
/// lacks is a fault of one of the two.
fn forbid_unknown_fields(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(forbid_unknown_fields);
            // In a schema, `type` is a string or an array. Among properties, `type` is the schema of a
            // property.
            let is_schema = !fields.get("type").is_some_and(Value::is_object);
            if is_schema && fields.get("properties").is_some_and(Value::is_object) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_unknown_fields),
        _ => {}
    }
}

/// Asserts that the document describes this frame of the server on a rich socket.
pub fn assert_server_frame(frame: &Value) {
    let name = match frame["type"].as_str() {
        Some("event") => {
            let kind = frame["kind"].as_str().unwrap_or("");
            let name = format!("server.event.{kind}");
            if !VALIDATORS.contains_key(name.as_str()) {
                return assert_application_event(kind, frame);
            }
            name
        }
        Some(name) => format!("server.{name}"),
        None => panic!("a frame without a type: {frame}"),
    };
    assert_matches(&name, frame);
    let codes = match frame["type"].as_str() {
        Some("error") => &ASYNCAPI["x-error-codes"],
        Some("bye") => &ASYNCAPI["x-close-codes"],
        _ => return,
    };
    let mut codes = codes.as_array().unwrap().iter();
    let is_known = codes.any(|known| known["code"] == frame["code"]);
    assert!(is_known, "a code that is not documented: {frame}");
}

/// Asserts that an event of an application, which the document does not describe, has the fields of each event.
fn assert_application_event(kind: &str, frame: &Value) {
    let subject = kind.split('.').next().unwrap_or("");
    let own_subjects = ["message", "reaction", "member", "group"];
    assert!(
        !own_subjects.contains(&subject),
        "a kind that is not documented: {frame}"
    );
    for field in ["group", "seq", "at", "by", "data"] {
        assert!(
            !frame[field].is_null(),
            "an event without `{field}`: {frame}"
        );
    }
}

/// Asserts that the document describes this request of a rich client.
pub fn assert_client_request(request: &Value) {
    let name = request["type"].as_str().unwrap_or("");
    assert_matches(&format!("client.{name}"), request);
}

/// Asserts that the document describes this frame of the server on a base socket.
pub fn assert_base_frame(frame: &Value) {
    assert_matches("base.server.chat_message", frame);
}

/// `true` if a value is a valid message of this name.
pub fn matches_message(name: &str, value: &Value) -> bool {
    VALIDATORS[name].is_valid(value)
}

fn assert_matches(name: &str, value: &Value) {
    let Some(validator) = VALIDATORS.get(name) else {
        panic!("the document knows no {name}: {value}");
    };
    if let Err(error) = validator.validate(value) {
        let path = error.instance_path().to_string();
        panic!("not as documented: {error} at `{path}` of {value}");
    }
}
