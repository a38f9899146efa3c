//! The OpenAPI document, and requests that are made from it.

use serde_json::Value;
use uuid::Uuid;

use super::User;

pub const OPENAPI_PATH: &str = "/api-docs/openapi.json";

impl User<'_> {
    /// Creates an item from the example in the document, and the items that it refers to. Returns its
    /// id. `group` replaces `{group_name}` in the path.
    pub async fn create_from_example(&self, document: &Value, path: &str, group: &str) -> i64 {
        let schema = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let mut body = unique_example(document, &schema["schema"]);
        for (key, value) in body.as_object_mut().unwrap() {
            let Some(name) = key.strip_suffix("_id").filter(|_| !value.is_null()) else {
                continue;
            };
            let (other, ..) = operations(document)
                .find(|(other, method, _)| *method == "post" && is_collection_of(other, name))
                .unwrap_or_else(|| panic!("no endpoint creates the object of {key}"));
            *value = Box::pin(self.create_from_example(document, other, group))
                .await
                .into();
        }
        let made = self.post(&path.replace("{group_name}", group), body).await;
        assert_eq!(made.status, 201, "{path}: {made}");
        made.json()["id"].as_i64().unwrap()
    }
}

/// `true` if a path ends in the plural of a name.
fn is_collection_of(path: &str, name: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap();
    let stem = name.strip_suffix('y').unwrap_or(name);
    [
        format!("{name}s"),
        format!("{name}es"),
        format!("{stem}ies"),
    ]
    .contains(&last.to_owned())
}

/// Returns the path, method and description of each operation.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
}

/// Returns the schema itself, if it is a reference or may also be null.
pub fn resolve_schema<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolve_schema(
            document,
            document.pointer(reference.trim_start_matches('#')).unwrap(),
        );
    }
    match schema["oneOf"].as_array() {
        Some(choices) => {
            let choice = choices
                .iter()
                .find(|choice| choice["type"] != "null")
                .unwrap();
            resolve_schema(document, choice)
        }
        None => schema,
    }
}

/// Returns the example with a unique value in each text that may have any value.
pub fn unique_example(document: &Value, schema: &Value) -> Value {
    let mut body = request_example(document, schema);
    let properties = &resolve_schema(document, schema)["properties"];
    for (key, value) in body.as_object_mut().unwrap() {
        let property = resolve_schema(document, &properties[key]);
        let is_text = property["type"] == "string" || property["type"][0] == "string";
        if is_text && property["format"].is_null() && property["enum"].is_null() {
            let fresh = Uuid::new_v4().simple();
            *value = format!("{} {fresh}", value.as_str().unwrap()).into();
        }
    }
    body
}

pub fn request_example(document: &Value, schema: &Value) -> Value {
    let properties = resolve_schema(document, schema)["properties"]
        .as_object()
        .unwrap();
    properties
        .iter()
        .map(|(key, property)| {
            let own = Some(&property["example"]).filter(|example| !example.is_null());
            let example = own.unwrap_or_else(|| &resolve_schema(document, property)["example"]);
            (key.clone(), example.clone())
        })
        .collect()
}
