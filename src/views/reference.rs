//! The page that shows the AsyncAPI document to people: no scripts, nothing from elsewhere.

use serde::Serialize;
use serde_json::Value;
use tera::{Context, Tera};

/// How a document is laid out. What is in its texts is escaped, see [`prose`] and Tera itself.
const TEMPLATE: &str = include_str!("../../assets/views/reference.html");

/// Groups of messages, by how their names in the document begin; the first that fits has them.
const MESSAGE_SECTIONS: [(&str, &str, &str); 4] = [
    ("requests", "What a rich client sends", "client."),
    ("events", "The kinds of events", "server.event."),
    ("frames", "What a rich socket is told", "server."),
    ("base", "What a base socket says and is told", "base."),
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
    /// What may stand there.
    what: String,
    required: bool,
    description: String,
}

#[derive(Serialize)]
struct CodeEntry {
    code: String,
    /// Whether to try again, or to come back.
    again: bool,
    description: String,
}

/// The page of a document.
///
/// # Errors
/// When the template is wrong.
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
        let mut places = MESSAGE_SECTIONS.iter().zip(&mut sections);
        let place = places.find(|((_, _, begin), _)| name.starts_with(begin));
        if let Some((_, section)) = place {
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

/// The fields of an object, and theirs: `user.id` is one of `user`, `groups[].group` one of each of
/// `groups`.
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

/// The names of an object's fields: first what tells its kind, then what is always there, as it was
/// declared, then what is not.
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
            .map_or(usize::MAX, |place| place + 2),
    });
    names
}

fn is_required(schema: &Value, name: &str) -> bool {
    as_list(&schema["required"])
        .iter()
        .any(|other| other == name)
}

/// What a value may be, in words.
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

fn describe_bounds(schema: &Value, least: &str, most: &str) -> String {
    let bound = |key: &str| schema[key].as_i64();
    match (bound(least), bound(most)) {
        (Some(least), Some(most)) => {
            format!(", {} to {}", format_number(least), format_number(most))
        }
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", {} at most", format_number(most)),
        (None, None) => String::new(),
    }
}

/// The largest number that every JSON reader keeps is known by its name.
fn format_number(number: i64) -> String {
    const LARGEST: i64 = (1 << 53) - 1;
    match number {
        LARGEST => "2⁵³ − 1".to_owned(),
        number if number == -LARGEST => "−2⁵³ + 1".to_owned(),
        number => number.to_string(),
    }
}

/// A value as JSON, its fields in the order of [`names`].
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

/// A text as HTML: escaped, and what stands between two backticks as code.
fn text_to_html(value: &Value, key: &str) -> String {
    let mut html = String::new();
    for (place, part) in text_at(value, key).split('`').enumerate() {
        let part = escape_html(part);
        if place % 2 == 0 {
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

/// What lies in a value on this way; null where nothing does.
fn value_at<'a>(value: &'a Value, way: &[&str]) -> &'a Value {
    let found = way.iter().try_fold(value, |value, name| value.get(name));
    found.unwrap_or(&Value::Null)
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
