//! The conventions of the whole OpenAPI document, for generated clients.
//!
//! The rules hold for every endpoint, including those of applications on top of Salam. So no handler repeats them:
//!
//! - A field of a response that may be null is always sent, so it is required. A field that may be absent is never
//!   null.
//! - A request body that may be absent is optional, and never null. Some generators treat a body without
//!   `required` as required.
//! - A page refers to the schema of its items, so that generators do not create a second type for the items.
//! - Times are of the format `date-time`.
//! - Parameters are never null. The parameters of pages and `Idempotency-Key` have an example that a client can send
//!   unchanged; other examples are written at the handler.
//! - An operation without credentials has an empty list `security`.

use serde_json::{Map, Value, json};

const SCHEMA_REF_PREFIX: &str = "#/components/schemas/";

/// The suffix of the names of request body types.
const REQUEST_BODY_SUFFIX: &str = "Params";

/// Returns the example of a parameter with this name, if the parameter has one.
///
/// The examples are valid, because some tools send all of them. Swagger UI does so, too, and the example of `cursor`
/// would skip a page. So its page removes the examples of optional parameters
/// (assets/static/swagger-initializer.js).
fn parameter_example(parameter: &str) -> Option<Value> {
    Some(match parameter {
        "limit" => json!(50),
        "cursor" => json!("1000"),
        "before" => json!(1000),
        "after" | "Last-Event-ID" => json!(0),
        _ => return None,
    })
}

/// Applies the conventions to a document.
pub fn apply_conventions(document: &mut Value) {
    reference_page_items(document);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, schema) in schemas {
            let is_request = name.ends_with(REQUEST_BODY_SUFFIX);
            complete_fields(schema, !is_request);
        }
    }
    let Some(Value::Object(paths)) = document.get_mut("paths") else {
        return;
    };
    let operations = paths.values_mut().filter_map(Value::as_object_mut);
    let operations = operations.flat_map(Map::values_mut);
    for (number, operation) in operations.filter_map(Value::as_object_mut).enumerate() {
        operation.entry("security").or_insert_with(|| json!([]));
        if let Some(body) = operation.get_mut("requestBody") {
            make_nullable_body_optional(body);
        }
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            complete_parameter(parameter, number);
        }
    }
}

/// Makes each page refer to the type of its items, and names the page after that type.
///
/// utoipa gives a page of groups the name `Page_Group`, and copies the schema `Group` into the page.
fn reference_page_items(document: &mut Value) {
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else {
        return;
    };
    let pages: Vec<String> = schemas
        .keys()
        .filter(|name| name.starts_with("Page_"))
        .cloned()
        .collect();
    let mut renamed = Map::new();
    for page in pages {
        let item = page.trim_start_matches("Page_").to_owned();
        let Some(mut schema) = schemas.remove(&page) else {
            continue;
        };
        if let Some(items) = schema.pointer_mut("/properties/results/items")
            && schemas.contains_key(&item)
        {
            *items = json!({"$ref": format!("{SCHEMA_REF_PREFIX}{item}")});
        }
        let name = format!("{item}Page");
        renamed.insert(
            format!("{SCHEMA_REF_PREFIX}{page}"),
            json!(format!("{SCHEMA_REF_PREFIX}{name}")),
        );
        schemas.insert(name, schema);
    }
    rename_refs(document, &renamed);
}

fn rename_refs(value: &mut Value, renamed: &Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().and_then(|text| renamed.get(text)) {
                    Some(new) if key == "$ref" => *value = new.clone(),
                    _ => rename_refs(value, renamed),
                }
            }
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| rename_refs(value, renamed)),
        _ => {}
    }
}

/// Adds the formats of times and, in responses, the required nullable fields, to an object and the objects in it.
fn complete_fields(schema: &mut Value, is_response: bool) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    let mut nullable = Vec::new();
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, property) in properties {
            if name == "at" || name.ends_with("_at") {
                add_time_format(property);
            }
            if is_response && is_nullable(property) {
                nullable.push(json!(name));
            }
            complete_fields(property, is_response);
        }
    }
    if !nullable.is_empty() {
        let required = fields.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            nullable.retain(|name| !required.contains(name));
            required.extend(nullable);
        }
    }
    for keyword in ["oneOf", "allOf"] {
        let parts = fields.get_mut(keyword).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            complete_fields(part, is_response);
        }
    }
    if let Some(items) = fields.get_mut("items") {
        complete_fields(items, is_response);
    }
}

fn add_time_format(property: &mut Value) {
    let is_text = match property.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        _ => false,
    };
    if let Some(fields) = property.as_object_mut().filter(|_| is_text) {
        fields.entry("format").or_insert_with(|| json!("date-time"));
    }
}

/// Returns whether a schema allows null, as utoipa writes it for an `Option`.
fn is_nullable(schema: &Value) -> bool {
    let is_null = |name: &Value| name == "null";
    let has_null_type = |schema: &Value| schema.get("type").is_some_and(is_null);
    match (schema.get("type"), schema.get("oneOf")) {
        (Some(Value::Array(names)), _) => names.iter().any(is_null),
        (_, Some(Value::Array(parts))) => parts.iter().any(has_null_type),
        _ => false,
    }
}

/// Changes a body that may be null to a body that may be absent.
fn make_nullable_body_optional(body: &mut Value) {
    let mut is_optional = false;
    let contents = body.get_mut("content").and_then(Value::as_object_mut);
    for content in contents.into_iter().flat_map(Map::values_mut) {
        if let Some(schema) = content
            .get_mut("schema")
            .filter(|schema| is_nullable(schema))
        {
            is_optional = true;
            remove_null(schema);
        }
    }
    if let Some(fields) = body.as_object_mut().filter(|_| is_optional) {
        fields.insert("required".to_owned(), json!(false));
    }
}

fn complete_parameter(parameter: &mut Value, operation: usize) {
    let Some(fields) = parameter.as_object_mut() else {
        return;
    };
    if let Some(schema) = fields.get_mut("schema") {
        remove_null(schema);
    }
    let name = fields.get("name").and_then(Value::as_str).unwrap_or("");
    let example = match name {
        // A key belongs to one request: another operation with the same key would be rejected.
        "Idempotency-Key" => Some(json!(format!("01JD3ZK8Q{operation:03}"))),
        _ => parameter_example(name).filter(|_| !fields.contains_key("example")),
    };
    if let Some(example) = example {
        fields.insert("example".to_owned(), example);
    }
}

/// Removes null from a schema.
fn remove_null(schema: &mut Value) {
    if let Some(Value::Array(names)) = schema.get_mut("type") {
        names.retain(|name| name != "null");
        if let [name] = names.as_slice() {
            let name = name.clone();
            schema["type"] = name;
        }
    }
    if let Some(Value::Array(parts)) = schema.get_mut("oneOf") {
        parts.retain(|part| part.get("type").is_none_or(|name| name != "null"));
        if let [part] = parts.as_slice() {
            *schema = part.clone();
        }
    }
}
