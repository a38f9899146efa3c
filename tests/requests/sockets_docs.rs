//! The AsyncAPI document and its page describe the sockets.

use insta::assert_snapshot;
use salam::views::reference;
use serde_json::Value;

use super::docs::assert_references_resolve;
use crate::support::{TestApp, asyncapi};

#[tokio::test]
async fn the_asyncapi_document_names_every_type() {
    let app = TestApp::start().await;
    let response = app.get("/api-docs/asyncapi.json").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "application/json");
    let served = response.json();
    assert_references_resolve(&served);
    let types = served["components"]["schemas"].as_object().unwrap();
    for (name, message) in documented_messages() {
        let payload = &served["components"]["messages"][name]["payload"];
        let reference = payload["$ref"].as_str().unwrap();
        let title = reference.strip_prefix("#/components/schemas/").unwrap();
        let schema = &types[title];
        assert_eq!(schema["title"], title);
        assert_titled(title, schema);
        assert_eq!(schema["required"], message["payload"]["required"], "{name}");
    }
    assert!(types.contains_key("ServerEventMessageCreated"));
    assert_eq!(
        types["ServerOk"]["properties"]["at"]["format"], "date-time",
        "{}",
        types["ServerOk"]
    );
}

/// Asserts that each object in a schema has a title: a generator has no other name for it.
fn assert_titled(path: &str, schema: &Value) {
    if schema.get("properties").is_some() || schema.get("enum").is_some() {
        assert!(schema["title"].is_string(), "{path} has no title");
    }
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        assert_titled(&format!("{path}.{field}"), property);
    }
    assert_titled_item(path, &schema["items"]);
}

fn assert_titled_item(path: &str, items: &Value) {
    if items.is_object() {
        assert_titled(&format!("{path}[]"), items);
    }
}

#[test]
fn every_message_has_a_title_a_summary_and_a_valid_example() {
    for (name, message) in documented_messages() {
        let texts = ["name", "title", "summary"].map(|key| message[key].as_str());
        assert!(texts.iter().all(Option::is_some), "{name}: {texts:?}");
        let example = &message["examples"][0]["payload"];
        assert!(
            asyncapi::matches_message(name, example),
            "{name}: {example}"
        );
        assert_described(name, &message["payload"]);
    }
}

/// Asserts that every field has a description, except the fields that only name the frame.
fn assert_described(name: &str, schema: &Value) {
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_described = property["description"].is_string() || property.get("const").is_some();
        assert!(is_described, "{name}: `{field}` has no description");
        assert_described(name, property);
        assert_described(name, &property["items"]);
    }
}

/// Returns the fields of each message whose name is accepted. A `?` marks a field that may be absent.
fn fields_of(is_included: impl Fn(&str) -> bool) -> String {
    let included = documented_messages().filter(|(name, _)| is_included(name));
    let lines = included.map(|(name, message)| {
        let payload = &message["payload"];
        let required: Vec<String> =
            serde_json::from_value(payload["required"].clone()).unwrap_or_default();
        let fields = payload["properties"].as_object().unwrap().keys();
        let fields = fields.map(|field| match required.contains(field) {
            true => field.clone(),
            false => format!("{field}?"),
        });
        let fields: Vec<_> = fields.collect();
        format!("{name}: {}\n", fields.join(" "))
    });
    lines.collect()
}

fn is_event(name: &str) -> bool {
    name.starts_with("server.event.")
}

#[test]
fn the_requests_of_rich_clients_have_the_reviewed_fields() {
    let fields = fields_of(|name| name.starts_with("client."));
    assert_snapshot!(fields, @r#"
    client.auth: id token? type
    client.delete: cid? group id seq type
    client.edit: cid? group id seq text type
    client.react: cid? emoji group id on seq type
    client.read: group seq type
    client.send: cid? group id reply_to? text type
    client.sub: epoch? groups id type
    client.typing: group on type
    client.unsub: groups id type
    "#);
}

#[test]
fn the_events_have_the_reviewed_fields() {
    assert_snapshot!(fields_of(is_event), @r#"
    server.event.group.updated: at by cid? data group kind seq type
    server.event.member.joined: at by cid? data group kind seq type
    server.event.member.left: at by cid? data group kind seq type
    server.event.member.role: at by cid? data group kind seq type
    server.event.message.created: at by cid? data group kind seq type
    server.event.message.deleted: at by cid? data group kind seq type
    server.event.message.edited: at by cid? data group kind seq type
    server.event.reaction.added: at by cid? data group kind seq type
    server.event.reaction.removed: at by cid? data group kind seq type
    "#);
}

#[test]
fn the_other_frames_of_the_server_have_the_reviewed_fields() {
    let fields = fields_of(|name| name.starts_with("server.") && !is_event(name));
    assert_snapshot!(fields, @r#"
    server.bye: code reason reconnect retry_ms? type
    server.error: code field group? id message retry retry_after_ms type
    server.group: floor group head mode online? online_count? read role title type unread
    server.hello: auth_expires_in conn epoch features limits now ping retry_ms type user v
    server.ok: at? auth_expires_in? cid? dup? id refused? seq? type
    server.presence: count? group state? type user?
    server.read: group seq type user
    server.reset: group head reason type
    server.sync: group seq type
    server.typing: group on type user
    "#);
}

#[test]
fn the_base_socket_has_the_reviewed_fields() {
    let fields = fields_of(|name| name.starts_with("base."));
    assert_snapshot!(fields, @r#"
    base.client.post: message
    base.server.chat_message: message type
    "#);
}

#[test]
fn each_channel_has_the_messages_of_its_socket() {
    let channels = asyncapi::ASYNCAPI["channels"].as_object().unwrap();
    let addresses: Vec<_> = channels
        .iter()
        .map(|(name, channel)| format!("{name} {}", channel["address"].as_str().unwrap()))
        .collect();
    assert_eq!(
        addresses,
        [
            "base /ws/chat/{group}/",
            "group /ws/chat/{group}/",
            "groups /ws/"
        ]
    );
    for (name, channel) in channels {
        let has = channel["messages"].as_object().unwrap().keys();
        let is_base = |message: &str| message.starts_with("base.");
        let expected =
            documented_messages().filter(|(message, _)| is_base(message) == (name == "base"));
        let expected: Vec<_> = expected.map(|(message, _)| message).collect();
        assert_eq!(has.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test]
async fn the_reference_page_is_complete_and_loads_nothing_external() {
    let app = TestApp::start().await;
    let page = app.get("/api-docs/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let body = page.body.as_str();
    for foreign in ["<script", "//", "@import", "url("] {
        assert!(!body.contains(foreign), "{foreign}");
    }
    for link in body.split("href=\"/").skip(1) {
        let path = format!("/{}", link.split('"').next().unwrap());
        assert_eq!(app.get(&path).await.status, 200, "{path}");
    }
    for link in body.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert!(body.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
    for (name, message) in documented_messages() {
        assert!(body.contains(&format!("id=\"{name}\"")), "{name}");
        for field in message["payload"]["properties"].as_object().unwrap().keys() {
            assert!(body.contains(&format!("<code>{field}</code>")), "{field}");
        }
    }
    for codes in ["x-error-codes", "x-close-codes"] {
        for code in asyncapi::ASYNCAPI[codes].as_array().unwrap() {
            let code = code["code"].to_string().replace('"', "");
            assert!(body.contains(&format!("<code>{code}</code>")), "{code}");
        }
    }
    // The page uses the document's word for a text.
    assert!(body.contains("text, 1 to 8000 characters"));
}

#[test]
fn the_reference_page_escapes_markup() {
    let mut document = asyncapi::ASYNCAPI.clone();
    inject_markup(&mut document);
    let page = reference::render_page(&document).unwrap();
    assert!(page.contains("&lt;b"), "{page}");
    assert!(!page.contains("<b\""), "{page}");
}

/// Adds markup to every text and every name, which would open an element or end an attribute.
fn inject_markup(value: &mut Value) {
    const MARKUP: &str = "<b\">'&`<b\">`";
    match value {
        Value::String(text) => *text += MARKUP,
        Value::Array(values) => values.iter_mut().for_each(inject_markup),
        Value::Object(fields) => {
            fields.values_mut().for_each(inject_markup);
            let names = ["properties", "messages", "channels", "securitySchemes"];
            for name in names {
                if let Some(Value::Object(inner)) = fields.get_mut(name) {
                    *inner = std::mem::take(inner)
                        .into_iter()
                        .map(|(name, value)| (name + MARKUP, value))
                        .collect();
                }
            }
        }
        _ => {}
    }
}

fn documented_messages() -> impl Iterator<Item = (&'static str, &'static Value)> {
    let messages = asyncapi::ASYNCAPI["components"]["messages"].as_object();
    messages
        .unwrap()
        .iter()
        .map(|(name, message)| (name.as_str(), message))
}
