//! The page that shows the AsyncAPI document to people: no scripts, nothing from elsewhere.

use serde::Serialize;
use serde_json::Value;
use tera::{Context, Tera};

/// How a document is laid out. What is in its texts is escaped, see [`prose`] and Tera itself.
const TEMPLATE: &str = include_str!("../../assets/views/reference.html");

/// Groups of messages, by how their names in the document begin; the first that fits has them.
const SECTIONS: [(&str, &str, &str); 4] = [
    ("requests", "What a rich client sends", "client."),
    ("events", "The kinds of events", "server.event."),
    ("frames", "What a rich socket is told", "server."),
    ("base", "What a base socket says and is told", "base."),
];

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    version: &'a str,
    description: String,
    channels: Vec<Channel<'a>>,
    credentials: Vec<Credential<'a>>,
    sections: Vec<Section<'a>>,
    errors: Vec<Code>,
    closes: Vec<Code>,
}

#[derive(Serialize)]
struct Channel<'a> {
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
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    anchor: &'a str,
    name: &'a str,
    title: &'a str,
    summary: String,
    fields: Vec<Field>,
    example: String,
}

#[derive(Serialize)]
struct Field {
    name: String,
    /// What may stand there.
    what: String,
    required: bool,
    description: String,
}

#[derive(Serialize)]
struct Code {
    code: String,
    /// Whether to try again, or to come back.
    again: bool,
    description: String,
}

/// The page of a document.
///
/// # Errors
/// When the template is wrong.
pub fn page(document: &Value) -> Result<String, tera::Error> {
    let info = &document["info"];
    let page = Page {
        title: text(info, "title"),
        version: text(info, "version"),
        description: prose(info, "description"),
        channels: values(&document["channels"]).map(Channel::of).collect(),
        credentials: entries(within(document, &["components", "securitySchemes"]))
            .map(|(name, scheme)| Credential {
                name,
                description: prose(scheme, "description"),
            })
            .collect(),
        sections: sections(document),
        errors: codes(&document["x-error-codes"], "retry"),
        closes: codes(&document["x-close-codes"], "reconnect"),
    };
    let mut tera = Tera::default();
    tera.add_raw_template("reference.html", TEMPLATE)?;
    tera.render("reference.html", &Context::from_serialize(&page)?)
}

impl<'a> Channel<'a> {
    fn of(channel: &'a Value) -> Self {
        Self {
            title: text(channel, "title"),
            address: text(channel, "address"),
            description: prose(channel, "description"),
        }
    }
}

fn sections(document: &Value) -> Vec<Section<'_>> {
    let mut sections = SECTIONS.map(|(anchor, title, _)| Section {
        anchor,
        title,
        messages: Vec::new(),
    });
    for (name, message) in entries(within(document, &["components", "messages"])) {
        let mut places = SECTIONS.iter().zip(&mut sections);
        let place = places.find(|((_, _, begin), _)| name.starts_with(begin));
        if let Some((_, section)) = place {
            section.messages.push(Message::of(name, message));
        }
    }
    sections.into()
}

impl<'a> Message<'a> {
    fn of(anchor: &'a str, message: &'a Value) -> Self {
        let payload = &message["payload"];
        let first = list(&message["examples"]).first().unwrap_or(&Value::Null);
        let mut fields = Vec::new();
        list_fields("", payload, &mut fields);
        Self {
            anchor,
            name: text(message, "name"),
            title: text(message, "title"),
            summary: prose(message, "summary"),
            fields,
            example: in_order(within(first, &["payload"]), payload),
        }
    }
}

/// The fields of an object, and theirs: `user.id` is one of `user`, `groups[].group` one of each of
/// `groups`.
fn list_fields(path: &str, schema: &Value, fields: &mut Vec<Field>) {
    for name in names(schema) {
        let property = within(schema, &["properties", name]);
        let path = format!("{path}{name}");
        fields.push(Field {
            what: what(property),
            required: is_required(schema, name),
            description: prose(property, "description"),
            name: path.clone(),
        });
        list_fields(&format!("{path}."), property, fields);
        list_fields(&format!("{path}[]."), &property["items"], fields);
    }
}

/// The names of an object's fields: first what tells its kind, then what is always there, as it was
/// declared, then what is not.
fn names(schema: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = entries(&schema["properties"])
        .map(|(name, _)| name)
        .collect();
    let required = list(&schema["required"]);
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
    list(&schema["required"]).iter().any(|other| other == name)
}

/// What a value may be, in words.
fn what(schema: &Value) -> String {
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<_> = choices.iter().map(ToString::to_string).collect();
        return choices.join(" or ");
    }
    let mut types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        many => list(many).iter().filter_map(Value::as_str).collect(),
    };
    types.sort_by_key(|name| *name == "null");
    let named = types.into_iter().map(|name| match name {
        "integer" => format!("whole number{}", bounds(schema, "minimum", "maximum")),
        "string" => match bounds(schema, "minLength", "maxLength") {
            bounds if bounds.is_empty() => "text".to_owned(),
            bounds => format!("text{bounds} characters"),
        },
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", what(&schema["items"])),
        other => other.to_owned(),
    });
    let mut words = named.collect::<Vec<_>>().join(" or ");
    if let Some(pattern) = schema["pattern"].as_str() {
        words += &format!(", {pattern}");
    }
    words
}

fn bounds(schema: &Value, least: &str, most: &str) -> String {
    let bound = |key: &str| schema[key].as_i64();
    match (bound(least), bound(most)) {
        (Some(least), Some(most)) => format!(", {} to {}", number(least), number(most)),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", {} at most", number(most)),
        (None, None) => String::new(),
    }
}

/// The largest number that every JSON reader keeps is known by its name.
fn number(number: i64) -> String {
    const LARGEST: i64 = (1 << 53) - 1;
    match number {
        LARGEST => "2⁵³ − 1".to_owned(),
        number if number == -LARGEST => "−2⁵³ + 1".to_owned(),
        number => number.to_string(),
    }
}

/// A value as JSON, its fields in the order of [`names`].
fn in_order(value: &Value, schema: &Value) -> String {
    match value {
        Value::Object(fields) if schema.get("properties").is_some() => {
            let fields = names(schema).into_iter().filter_map(|name| {
                let value = in_order(fields.get(name)?, within(schema, &["properties", name]));
                Some(format!("\"{name}\":{value}"))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => {
            let values = values.iter().map(|value| in_order(value, &schema["items"]));
            format!("[{}]", values.collect::<Vec<_>>().join(","))
        }
        value => value.to_string(),
    }
}

fn codes(codes: &Value, again: &str) -> Vec<Code> {
    let codes = list(codes).iter().map(|code| Code {
        code: match &code["code"] {
            Value::String(slug) => slug.clone(),
            number => number.to_string(),
        },
        again: code[again] == true,
        description: prose(code, "description"),
    });
    codes.collect()
}

/// A text as HTML: escaped, and what stands between two backticks as code.
fn prose(value: &Value, key: &str) -> String {
    let mut html = String::new();
    for (place, part) in text(value, key).split('`').enumerate() {
        let part = escaped(part);
        if place % 2 == 0 {
            html += &part;
        } else {
            html += &format!("<code>{part}</code>");
        }
    }
    html
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// What lies in a value on this way; null where nothing does.
fn within<'a>(value: &'a Value, way: &[&str]) -> &'a Value {
    let found = way.iter().try_fold(value, |value, name| value.get(name));
    found.unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), value))
}

fn values(value: &Value) -> impl Iterator<Item = &Value> {
    entries(value).map(|(_, value)| value)
}
