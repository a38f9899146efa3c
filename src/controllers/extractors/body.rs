//! JSON bodies as types that derive `Deserialize`: the types that the OpenAPI document shows.
//!
//! A rule of a field belongs to the field's type, such as [`WholeNumber`], [`Text`] or
//! [`Username`](crate::models::usernames::Username). [`crate::json_object`] describes how a type states it.

use std::{borrow::Cow, fmt};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use mime::Mime;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};
use serde_json::Value;

use crate::{
    errors::{Error, FIELD_REQUIRED, Result},
    json_object::{Fault, FieldError, Fields, from_fields, from_fields_with_all_errors},
    views::errors::FieldErrors,
};

const NOT_A_STRING: &str = "Not a valid string.";
const FIELD_NULL: &str = "This field may not be null.";
const NOT_AN_OBJECT: &str = "The body must be a JSON object.";

/// The JSON body of a request. An empty body is read as an empty object.
///
/// The rejection names the first field at fault: see [`Error::Invalid`]. A body over the limit is rejected
/// with 413, and a body that is not declared as JSON with 415.
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let declares_json = is_json_content_type(request.headers());
        let body = read_body(request, state).await?;
        let fields = if body.is_empty() {
            Fields::new()
        } else {
            parse_object(&body, declares_json)?
        };
        from_fields(fields)
            .map(Self)
            .map_err(|error| field_rejection(error.field, error.fault))
    }
}

/// The JSON body of a request of the base contract, which must not be empty.
///
/// The rejection names all fields at fault: [`Error::InvalidFields`]. A body that is not an object is
/// rejected with [`Error::Invalid`].
pub struct BaseApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for BaseApiJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let declares_json = is_json_content_type(request.headers());
        let body = read_body(request, state).await?;
        let fields = parse_object(&body, declares_json)?;
        from_fields_with_all_errors(&fields)
            .map(Self)
            .map_err(all_fields_rejection)
    }
}

fn field_rejection(field: Option<&'static str>, fault: Fault) -> Error {
    let field = field.map(Cow::Borrowed);
    match fault {
        Fault::TooLarge(detail) => Error::FieldTooLarge { detail, field },
        // Null and a missing field mean the same.
        Fault::Null { .. } => Error::Invalid {
            detail: FIELD_REQUIRED.to_owned(),
            field,
        },
        fault => Error::Invalid {
            detail: fault_text(fault),
            field,
        },
    }
}

fn all_fields_rejection(field_errors: Vec<FieldError>) -> Error {
    let mut errors = FieldErrors::default();
    for FieldError { field, fault } in field_errors {
        match field {
            Some(field) => errors.add(field, fault_text(fault)),
            None => return field_rejection(None, fault),
        }
    }
    Error::InvalidFields(errors)
}

/// Returns the text of a fault. A text that ends with a full stop is a rule of this server. Other texts come
/// from serde and from foreign types.
fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Missing => FIELD_REQUIRED.to_owned(),
        Fault::Null { .. } => FIELD_NULL.to_owned(),
        Fault::Mismatch { expected, .. } if expected == "a string" => NOT_A_STRING.to_owned(),
        Fault::Mismatch { expected, .. } if expected.ends_with('.') => expected,
        Fault::Mismatch { found, expected } => format!("Not valid: {found}, expected {expected}."),
        Fault::Invalid(text) | Fault::TooLarge(text) if text.ends_with('.') => text,
        Fault::Invalid(text) | Fault::TooLarge(text) => format!("Not valid: {text}."),
    }
}

/// A whole number from `MIN` to `MAX`, written without a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber<const MIN: i64, const MAX: i64>(pub i64);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for WholeNumber<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range<const MIN: i64, const MAX: i64>;

        impl<const MIN: i64, const MAX: i64> Visitor<'_> for Range<MIN, MAX> {
            type Value = i64;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "A whole number from {MIN} to {MAX}.")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
                if (MIN..=MAX).contains(&number) {
                    Ok(number)
                } else {
                    Err(E::invalid_value(de::Unexpected::Signed(number), &self))
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
                match i64::try_from(number) {
                    Ok(number) => self.visit_i64(number),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }
        }

        deserializer.deserialize_i64(Range::<MIN, MAX>).map(Self)
    }
}

/// A text of `MIN` to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> Self {
        text.0
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.chars().count() {
            count if (MIN..=MAX).contains(&count) => Ok(Self(text)),
            _ if MIN == 0 => Err(de::Error::custom(format_args!("{MAX} characters at most."))),
            _ => Err(de::Error::custom(format_args!(
                "{MIN} to {MAX} characters."
            ))),
        }
    }
}

/// Reads a field whose absence and whose null differ, for `#[serde(default, deserialize_with = "nullable")]`:
/// `None` for a missing field, `Some(None)` for null.
///
/// # Errors
/// The error of the field's type.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads a field of any type, for `#[serde(default, deserialize_with = "lenient")]`: a value of another type
/// counts as missing.
///
/// # Errors
/// None.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if encodings.iter().any(|coding| !is_identity_coding(coding)) {
        return Err(Error::UnsupportedContentEncoding);
    }
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Error::BodyTooLarge
            } else {
                Error::invalid("The body is incomplete.")
            }
        })
}

/// Returns whether a value of `Content-Encoding` states that the body is not encoded (RFC 9110, section 8.4.1).
fn is_identity_coding(coding: &HeaderValue) -> bool {
    let coding = coding.as_bytes().trim_ascii();
    coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
}

fn parse_object(body: &[u8], declares_json: bool) -> Result<Fields> {
    if !declares_json {
        return Err(Error::UnsupportedMediaType);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::invalid(NOT_AN_OBJECT)),
        Err(error) => Err(Error::invalid(format!(
            "The body is not valid JSON: {error}."
        ))),
    }
}

/// Returns whether a request that may change data has a body that is declared as another type than JSON.
///
/// The check also protects endpoints that read no body: a foreign page can send a form as text, but not as JSON.
pub(super) fn has_non_json_body(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let is_empty = headers
        .get(header::CONTENT_LENGTH)
        .is_none_or(|length| length == "0");
    let has_body = !is_empty || headers.contains_key(header::TRANSFER_ENCODING);
    // The extractor of the body checks a body without a type.
    has_body
        && !parts.method.is_safe()
        && headers.contains_key(header::CONTENT_TYPE)
        && !is_json_content_type(headers)
}

/// Returns whether `Content-Type` is `application/json` or has the suffix `+json` (RFC 6839), with any
/// parameters.
fn is_json_content_type(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| parse_media_type(value.to_str().ok()?));
    content_type.is_some_and(|mime| {
        mime.type_() == mime::APPLICATION
            && (mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON))
    })
}

/// Returns the media type or media range of a header; `None` for a text that is not one.
///
/// The crate `mime` rejects spaces before a `;` and empty parameters. RFC 9110, section 5.6.6, permits both.
pub fn parse_media_type(text: &str) -> Option<Mime> {
    let parts = text.split(';').map(str::trim);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("; ").parse().ok()
}
