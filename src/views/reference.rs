//! The page that shows the AsyncAPI document to people. It has no scripts and loads nothing from other servers.

use serde::Serialize;
use serde_json::Value;
use tera::{Context, Tera};

/// The template of the page. Texts of the document are escaped by [`text_to_html`] and by Tera.
const TEMPLATE: &str = include_str!("../../assets/views/reference.html");

/// The sections of messages: anchor, title, and prefix of the messages' names. The first match counts.
const MESSAGE_SECTIONS: [(&str, &str, &str); 4] = [
    ("requests", "Frames from a rich client", "client."),
    ("events", "Kinds of events", "server.event."),
    ("frames", "Frames to a rich client", "server."),
    ("base", "Frames of a base socket", "base."),
];

#[derive(Serialize)]
struct ReferencePage<'a> {
    title: &'a str,
    version: &'a str,
    description: String,
    channels: Vec<ChannelEntry<'a>>,
    credentials: Vec<Credential<'a>>,
    sections: Vec<Section<'a>>,
    errors: Vec<CodeEntry>,
    closes: Vec<CodeEntry>,
}

#[derive(Serialize)]
struct ChannelEntry<'a> {
    title: &'a str,
    address: &'a str,
    description: String,
}

#[derive(Serialize)]
struct Credential<'a> {
    name: &'a str,
    description: String,
}

#[derive(Serialize)]
struct Section<'a> {
    anchor: &'a str,
    title: &'a str,
    messages: Vec<MessageEntry<'a>>,
}

#[derive(Serialize)]
struct MessageEntry<'a> {
    anchor: &'a str,
    name: &'a str,
    title: &'a str,
    summary: String,
    fields: Vec<FieldEntry>,
    example: String,
}

#[derive(Serialize)]
struct FieldEntry {
    name: String,
    /// The type of the value, in words.
    what: String,
    required: bool,
    description: String,
}

#[derive(Serialize)]
struct CodeEntry {
    code: String,
    /// `true` if the client may retry or reconnect.
    again: bool,
    description: String,
}

/// Renders the page of a document.
///
/// # Errors
/// When the template is faulty.
pub fn render_page(document: &Value) -> Result<String, tera::Error> {
    let info = &document["info"];
    let page = ReferencePage {
        title: text_at(info, "title"),
        version: text_at(info, "version"),
        description: text_to_html(info, "description"),
        channels: values(&document["channels"])
            .map(ChannelEntry::from_json)
            .collect(),
        credentials: entries(value_at(document, &["components", "securitySchemes"]))
            .map(|(name, scheme)| Credential {
                name,
                description: text_to_html(scheme, "description"),
            })
            .collect(),
        sections: sections(document),
        errors: code_entries(&document["x-error-codes"], "retry"),
        closes: code_entries(&document["x-close-codes"], "reconnect"),
    };
    let mut tera = Tera::default();
    tera.add_raw_template("reference.html", TEMPLATE)?;
    tera.render("reference.html", &Context::from_serialize(&page)?)
}

impl<'a> ChannelEntry<'a> {
    fn from_json(channel: &'a Value) -> Self {
        Self {
            title: text_at(channel, "title"),
            address: text_at(channel, "address"),
            description: text_to_html(channel, "description"),
        }
    }
}

fn sections(document: &Value) -> Vec<Section<'_>> {
    let mut sections = MESSAGE_SECTIONS.map(|(anchor, title, _)| Section {
        anchor,
        title,
        messages: Vec::new(),
    });
    for (name, message) in entries(value_at(document, &["components", "messages"])) {
        let mut candidates = MESSAGE_SECTIONS.iter().zip(&mut sections);
        let matching = candidates.find(|((_, _, prefix), _)| name.starts_with(prefix));
        if let Some((_, section)) = matching {
            section
                .messages
                .push(MessageEntry::from_json(name, message));
        }
    }
    sections.into()
}

impl<'a> MessageEntry<'a> {
    fn from_json(anchor: &'a str, message: &'a Value) -> Self {
        let payload = &message["payload"];
        let first = as_list(&message["examples"])
            .first()
            .unwrap_or(&Value::Null);
        let mut fields = Vec::new();
        collect_fields("", payload, &mut fields);
        Self {
            anchor,
            name: text_at(message, "name"),
            title: text_at(message, "title"),
            summary: text_to_html(message, "summary"),
            fields,
            example: ordered_json(value_at(first, &["payload"]), payload),
        }
    }
}

/// Collects the fields of an object and of the objects in it.
///
/// `user.id` is a field of `user`. `groups[].group` is a field of each item of `groups`.
fn collect_fields(path: &str, schema: &Value, fields: &mut Vec<FieldEntry>) {
    for name in ordered_names(schema) {
        let property = value_at(schema, &["properties", name]);
        let path = format!("{path}{name}");
        fields.push(FieldEntry {
            what: describe_type(property),
            required: is_required(schema, name),
            description: text_to_html(property, "description"),
            name: path.clone(),
        });
        collect_fields(&format!("{path}."), property, fields);
        collect_fields(&format!("{path}[]."), &property["items"], fields);
    }
}

/// Returns the names of an object's fields in order: the fields that identify its kind, then the other required
/// fields as declared, then the optional fields.
fn ordered_names(schema: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = entries(&schema["properties"])
        .map(|(name, _)| name)
        .collect();
    let required = as_list(&schema["required"]);
    names.sort_by_key(|name| match *name {
        "type" => 0,
        "id" => 1,
        _ => required
            .iter()
            .position(|other| other == name)
            .map_or(usize::MAX, |index| index + 2),
    });
    names
}

fn is_required(schema: &Value, name: &str) -> bool {
    as_list(&schema["required"])
        .iter()
        .any(|other| other == name)
}

/// Returns the type of a value, in words.
fn describe_type(schema: &Value) -> String {
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<_> = choices.iter().map(ToString::to_string).collect();
        return choices.join(" or ");
    }
    let mut types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        many => as_list(many).iter().filter_map(Value::as_str).collect(),
    };
    types.sort_by_key(|name| *name == "null");
    let named = types.into_iter().map(|name| match name {
        "integer" => format!(
            "whole number{}",
            describe_bounds(schema, "minimum", "maximum")
        ),
        "string" => match describe_bounds(schema, "minLength", "maxLength") {
            bounds if bounds.is_empty() => "text".to_owned(),
            bounds => format!("text{bounds} characters"),
        },
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", describe_type(&schema["items"])),
        other => other.to_owned(),
    });
    let mut words = named.collect::<Vec<_>>().join(" or ");
    if let Some(pattern) = schema["pattern"].as_str() {
        words += &format!(", {pattern}");
    }
    words
}

fn describe_bounds(schema: &Value, min_key: &str, max_key: &str) -> String {
    let bound = |key: &str| schema[key].as_i64();
    match (bound(min_key), bound(max_key)) {
        (Some(min), Some(max)) => {
            format!(", {} to {}", format_number(min), format_number(max))
        }
        (Some(min), None) => format!(", {min} or more"),
        (None, Some(max)) => format!(", {} at most", format_number(max)),
        (None, None) => String::new(),
    }
}

/// Returns a number as text. The largest integers that every JSON reader keeps exact are written as powers of two.
fn format_number(number: i64) -> String {
    const LARGEST: i64 = (1 << 53) - 1;
    match number {
        LARGEST => "2⁵³ − 1".to_owned(),
        number if number == -LARGEST => "−2⁵³ + 1".to_owned(),
        number => number.to_string(),
    }
}

/// Returns a value as JSON, with its fields in the order of [`ordered_names`].
fn ordered_json(value: &Value, schema: &Value) -> String {
    match value {
        Value::Object(fields) if schema.get("properties").is_some() => {
            let fields = ordered_names(schema).into_iter().filter_map(|name| {
                let value =
                    ordered_json(fields.get(name)?, value_at(schema, &["properties", name]));
                Some(format!("\"{name}\":{value}"))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => {
            let values = values
                .iter()
                .map(|value| ordered_json(value, &schema["items"]));
            format!("[{}]", values.collect::<Vec<_>>().join(","))
        }
        value => value.to_string(),
    }
}

fn code_entries(codes: &Value, again: &str) -> Vec<CodeEntry> {
    let codes = as_list(codes).iter().map(|code| CodeEntry {
        code: match &code["code"] {
            Value::String(slug) => slug.clone(),
            number => number.to_string(),
        },
        again: code[again] == true,
        description: text_to_html(code, "description"),
    });
    codes.collect()
}

/// Returns a text as escaped HTML. A part between two backticks becomes `<code>`.
fn text_to_html(value: &Value, key: &str) -> String {
    let mut html = String::new();
    for (index, part) in text_at(value, key).split('`').enumerate() {
        let part = escape_html(part);
        if index % 2 == 0 {
            html += &part;
        } else {
            html += &format!("<code>{part}</code>");
        }
    }
    html
}

fn escape_html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the value at a path; null if it does not exist.
fn value_at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    let value = path.iter().try_fold(value, |value, name| value.get(name));
    value.unwrap_or(&Value::Null)
}

fn text_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn as_list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), value))
}

fn values(value: &Value) -> impl Iterator<Item = &Value> {
    entries(value).map(|(_, value)| value)
}
