//! JSON objects as types that derive `Deserialize`, with errors that name the field.
//!
//! This module reads the frames of sockets and the bodies of requests. serde's own errors are sentences that do not
//! name the field, and neither API has their texts. A [`FieldError`] names the field and keeps the facts, and each
//! API defines the text.
//!
//! - A field of the type `Option` may be missing or null. All other fields are required.
//! - A field that the type does not declare is ignored. The last value of a repeated key counts.
//! - A rule of a value belongs to its type: its `Deserialize` fails with a sentence, which ends with a
//!   full stop. `de::Error::invalid_length` states that the value is too large.

use std::{fmt, mem, slice};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, Unexpected,
        Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

/// A JSON object as it was received.
pub type Fields = Map<String, Value>;

/// The first error of a JSON object, and the field that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field of the outermost object. `None` for a type that declares no fields.
    pub field: Option<&'static str>,
    pub fault: Fault,
}

/// The fault of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The object does not have the field.
    Missing,
    /// The value is null and must not be.
    Null { expected: String },
    /// The value has another JSON type, or is outside of the range of its type.
    Mismatch { found: String, expected: String },
    /// The value breaks a rule of its type.
    Invalid(String),
    /// The value is larger than its type allows.
    TooLarge(String),
}

/// Reads an object. The order of the errors is the order of the type's fields; missing fields come last.
///
/// # Errors
/// The first [`FieldError`].
pub fn from_fields<T: DeserializeOwned>(fields: Fields) -> Result<T, FieldError> {
    T::deserialize(ObjectDeserializer::of(fields))
}

/// Reads an object, and names all invalid fields, in the order of the type's fields.
///
/// serde stops at the first error, so the object is read again without each invalid field. In this mode, only `Option`
/// tolerates a missing field: `#[serde(default)]` has no effect after an error.
///
/// # Errors
/// One [`FieldError`] for each invalid field.
pub fn from_fields_with_all_errors<T: DeserializeOwned>(
    fields: &Fields,
) -> Result<T, Vec<FieldError>> {
    let first = match from_fields(fields.clone()) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut errors: Vec<FieldError> = Vec::new();
    let mut excluded: Vec<&'static str> = Vec::new();
    loop {
        let next = T::deserialize(ObjectDeserializer {
            fields: fields.clone(),
            excluded: &excluded,
            yields_missing: true,
        });
        match next {
            Err(error) if error.field.is_some_and(|field| !excluded.contains(&field)) => {
                excluded.extend(error.field);
                errors.push(error);
            }
            _ if errors.is_empty() => return Err(vec![first]),
            _ => return Err(errors),
        }
    }
}

impl FieldError {
    fn new(fault: Fault) -> Self {
        Self { field: None, fault }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Missing => formatter.write_str("a missing field"),
            Fault::Null { expected } => write!(formatter, "null, expected {expected}"),
            Fault::Mismatch { found, expected } => {
                write!(formatter, "{found}, expected {expected}")
            }
            Fault::Invalid(text) | Fault::TooLarge(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Fault::Invalid(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Fault::Mismatch {
            found: match found {
                // The name of serde for JSON's null.
                Unexpected::Unit => "invalid type: null".to_owned(),
                found => format!("invalid type: {found}"),
            },
            expected: expected.to_string(),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Fault::Mismatch {
            found: format!("invalid value: {found}"),
            expected: expected.to_string(),
        })
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(Fault::TooLarge(expected.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            field: Some(field),
            fault: Fault::Missing,
        }
    }
}

/// The fields of an object as a `Deserializer`.
struct ObjectDeserializer<'a> {
    fields: Fields,
    /// The fields that are left out.
    excluded: &'a [&'static str],
    /// `true` if the type of a missing declared field gets a [`MissingValue`], which the type may reject.
    yields_missing: bool,
}

impl<'de> Deserializer<'de> for ObjectDeserializer<'_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let fields = self.fields.into_iter();
        visitor.visit_map(MapDeserializer::new(
            fields.map(|(name, value)| (name, JsonValue(value))),
        ))
    }

    /// Yields each declared field in its order, so that the error of a value gets the name of its field.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_map(StructAccess {
            object: self,
            declared: declared.iter(),
            current: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct StructAccess<'a> {
    object: ObjectDeserializer<'a>,
    declared: slice::Iter<'static, &'static str>,
    current: Option<(&'static str, Option<Value>)>,
}

impl<'de> MapAccess<'de> for StructAccess<'_> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FieldError> {
        for name in self.declared.by_ref() {
            if self.object.excluded.contains(name) {
                continue;
            }
            // Each name is declared once, so a value is taken once. Removing the entry would cost more.
            let value = self.object.fields.get_mut(*name).map(mem::take);
            if value.is_some() || self.object.yields_missing {
                self.current = Some((name, value));
                let key: StrDeserializer<'_, FieldError> = name.into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, FieldError> {
        let (name, value) = self
            .current
            .take()
            .ok_or_else(|| de::Error::custom("a value without a key"))?;
        let fault = match value {
            Some(value) => {
                let is_null = value.is_null();
                match seed.deserialize(JsonValue(value)) {
                    Ok(value) => return Ok(value),
                    Err(error) => match error.fault {
                        Fault::Mismatch { expected, .. } if is_null => Fault::Null { expected },
                        fault => fault,
                    },
                }
            }
            None => match seed.deserialize(MissingValue) {
                Ok(value) => return Ok(value),
                Err(_) => Fault::Missing,
            },
        };
        Err(FieldError {
            field: Some(name),
            fault,
        })
    }
}

/// A value of an object as a `Deserializer`. (The error of serde_json's own deserializer does not keep the facts.)
struct JsonValue(Value);

impl<'de> Deserializer<'de> for JsonValue {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(JsonValue));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(fields) => ObjectDeserializer::of(fields).deserialize_any(visitor),
        }
    }

    /// A number that would be infinite as an `f32` is an error.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let number = self.0.as_f64().unwrap_or_default();
        if number.abs() > f64::from(f32::MAX) {
            let found = Unexpected::Other("a number out of range");
            return Err(de::Error::invalid_value(found, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::Object(fields) => {
                ObjectDeserializer::of(fields).deserialize_struct(name, declared, visitor)
            }
            // serde would read an array as the fields in their order.
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(variant.into_deserializer()),
            Value::Object(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name, JsonValue(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(fields)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, FieldError> for JsonValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl ObjectDeserializer<'static> {
    fn of(fields: Fields) -> Self {
        Self {
            fields,
            excluded: &[],
            yields_missing: false,
        }
    }
}

/// The value of a field that the object does not have: `None` for an `Option`, an error for other types.
struct MissingValue;

impl<'de> Deserializer<'de> for MissingValue {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldError> {
        Err(FieldError::new(Fault::Missing))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
