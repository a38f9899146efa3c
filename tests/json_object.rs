//! JSON objects as types: the errors name the field, and keep the facts.

use salam::json_object::{Fault, FieldError, Fields, from_fields, from_fields_with_all_errors};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, PartialEq, Deserialize)]
struct Parcel {
    name: String,
    weight: f32,
    count: i16,
    note: Option<String>,
    kind: Option<Kind>,
    tags: Option<Vec<String>>,
    size: Option<Size>,
    #[serde(default)]
    is_fragile: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Letter,
    Box,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Size {
    width: u32,
}

fn fields(text: &str) -> Fields {
    serde_json::from_str(text).unwrap()
}

/// Reads a good parcel with one more field, or with another value of a field.
fn read_with(field: &str, value: serde_json::Value) -> Result<Parcel, FieldError> {
    let mut parcel = fields(r#"{"name": "a", "weight": 1.5, "count": 3}"#);
    parcel.insert(field.to_owned(), value);
    from_fields(parcel)
}

#[test]
fn the_last_value_of_a_repeated_key_counts_and_unknown_keys_are_ignored() {
    let parcel = r#"{"name": 5, "x": [null], "count": 3, "weight": 2, "name": "a", "note": null}"#;
    let parcel: Parcel = from_fields(fields(parcel)).unwrap();
    assert_eq!(
        (&*parcel.name, parcel.weight, parcel.note),
        ("a", 2.0, None)
    );
    assert_eq!(
        read_with("kind", json!("box")).unwrap().kind,
        Some(Kind::Box)
    );
    assert!(read_with("is_fragile", json!(true)).unwrap().is_fragile);
}

#[test]
fn an_error_names_the_field_and_keeps_the_facts() {
    let mismatch = |found: &str, expected: &str| Fault::Mismatch {
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    for (field, value, fault) in [
        (
            "name",
            json!(5),
            mismatch("invalid type: integer `5`", "a string"),
        ),
        (
            "name",
            json!(null),
            Fault::Null {
                expected: "a string".to_owned(),
            },
        ),
        (
            "count",
            json!(1.5),
            mismatch("invalid type: floating point `1.5`", "i16"),
        ),
        (
            "count",
            json!(70_000),
            mismatch("invalid value: integer `70000`", "i16"),
        ),
        (
            "weight",
            json!(1e300),
            mismatch("invalid value: a number out of range", "f32"),
        ),
        (
            "tags",
            json!(["x", null]),
            mismatch("invalid type: null", "a string"),
        ),
        (
            "size",
            json!([1]),
            mismatch("invalid type: sequence", "struct Size"),
        ),
        (
            "size",
            json!({"width": -1}),
            mismatch("invalid value: integer `-1`", "u32"),
        ),
        ("size", json!({}), Fault::Missing),
    ] {
        let error = read_with(field, value.clone()).unwrap_err();
        assert_eq!(error.field, Some(field), "{value}");
        assert_eq!(error.fault, fault, "{value}");
    }
    assert_eq!(
        read_with("kind", json!("crate")).unwrap_err().field,
        Some("kind")
    );
    let error = from_fields::<Parcel>(fields(r#"{"weight": 1, "count": 1}"#)).unwrap_err();
    assert_eq!((error.field, error.fault), (Some("name"), Fault::Missing));
}

#[test]
fn all_errors_are_named_in_the_order_of_the_fields() {
    let faulty = fields(r#"{"count": "x", "note": 5, "weight": null}"#);
    let errors = from_fields_with_all_errors::<Parcel>(&faulty).unwrap_err();
    let names: Vec<_> = errors.iter().map(|error| error.field).collect();
    let expected = ["name", "weight", "count", "note"].map(Some);
    assert_eq!(names[..4], expected);
    let good = fields(r#"{"name": "a", "weight": 1.5, "count": 3}"#);
    assert!(from_fields_with_all_errors::<Parcel>(&good).is_ok());
}
