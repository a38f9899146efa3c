//! JSON bodies, read field by field, so that an answer can name all that is wrong at once.

use std::ops::RangeInclusive;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use validator::{Validate, ValidationError, ValidationErrors};

use crate::{
    errors::{Error, Result},
    views::errors::FieldErrors,
};

const FIELD_REQUIRED: &str = "This field is required.";
const NOT_A_STRING: &str = "Not a valid string.";
const FIELD_NULL: &str = "This field may not be null.";
const FIELD_NOT_VALID: &str = "Not a valid value.";
const NOT_AN_OBJECT: &str = "The body must be a JSON object.";

/// The body of a request that must have one: whatever JSON it is, or what was wrong with it.
///
/// A body over the limit (413) or of another type (415) is refused here; what to say of one that
/// is not a JSON object differs between endpoints and is left to them.
pub struct BodyFields {
    fields: Result<Map<String, Value>, String>,
    pub errors: FieldErrors,
}

impl BodyFields {
    /// A text field that must be there. What is wrong with it is noted in `errors`.
    pub fn required_text(&mut self, field: &'static str) -> Option<String> {
        let fault = match &mut self.fields {
            Err(fault) => fault.as_str(),
            Ok(fields) => match fields.remove(field) {
                Some(Value::String(text)) => return Some(text),
                Some(Value::Null) => FIELD_NULL,
                Some(_) => NOT_A_STRING,
                None => FIELD_REQUIRED,
            },
        };
        self.errors.add(field, fault);
        None
    }

    /// A text field checked by a rule; what the rule says is noted in `errors`.
    pub fn parse_required<T>(
        &mut self,
        field: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required_text(field)?;
        rule(&text)
            .map_err(|fault| self.errors.add(field, fault))
            .ok()
    }

    /// Whether a field is there and `true`.
    #[must_use]
    pub fn is_true(&self, field: &str) -> bool {
        self.fields
            .as_ref()
            .is_ok_and(|fields| fields.get(field) == Some(&Value::Bool(true)))
    }

    /// Why the body as a whole could not be read, if so.
    #[must_use]
    pub fn body_error(&self) -> Option<&str> {
        self.fields.as_ref().err().map(String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for BodyFields {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let declared_json = is_json_content_type(request.headers());
        let body = read_body(request, state).await?;
        if !declared_json {
            return Err(Error::UnsupportedMediaType);
        }
        Ok(Self {
            fields: parse_object(&body),
            errors: FieldErrors::default(),
        })
    }
}

/// The body of a request that may have none.
pub struct OptionalBody(Map<String, Value>);

impl OptionalBody {
    /// A text field that may be missing or null.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the field, when it is neither, or breaks the rule.
    pub fn parse_optional<T>(
        &self,
        field: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let parsed = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => rule(text),
            Some(_) => Err(NOT_A_STRING.to_owned()),
        };
        parsed.map(Some).map_err(|detail| Error::Invalid {
            detail,
            field: Some(field.into()),
        })
    }
}

impl OptionalBody {
    /// A text field that must be there.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the field, when it is not, or breaks the rule.
    pub fn parse_required<T>(
        &self,
        field: &'static str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T> {
        self.parse_optional(field, rule)?
            .ok_or_else(|| Error::missing_field(field))
    }

    /// A whole number within a range, that may be missing or null.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the field, when it is anything else.
    pub fn optional_number(
        &self,
        field: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>> {
        let number = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value.as_i64(),
        };
        let number = number.filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| Error::Invalid {
            detail: format!("A whole number from {} to {}.", range.start(), range.end()),
            field: Some(field.into()),
        })
    }

    /// Whether the field is there at all, were it null.
    #[must_use]
    pub fn has_field(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let declared_json = is_json_content_type(request.headers());
        let body = read_body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !declared_json {
            return Err(Error::UnsupportedMediaType);
        }
        parse_object(&body).map(Self).map_err(Error::invalid)
    }
}

/// The body as a type of its own, by the rules that it derives from `Validate`. The answer to one that
/// breaks them, or is of another form, names the first field that is at fault.
pub struct ValidatedJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for ValidatedJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let declared_json = is_json_content_type(request.headers());
        let body = read_body(request, state).await?;
        if !declared_json {
            return Err(Error::UnsupportedMediaType);
        }
        // An array would be taken for the fields in their order.
        let object: Value = serde_json::from_slice(&body)
            .map_err(|error| Error::invalid(json_syntax_error(&error)))?;
        if !object.is_object() {
            return Err(Error::invalid(NOT_AN_OBJECT));
        }
        let parsed: T = serde_path_to_error::deserialize(object).map_err(|error| {
            let path = error.path().to_string();
            type_error(&path, &error.into_inner())
        })?;
        parsed
            .validate()
            .map_err(|errors| first_violation(&errors))?;
        Ok(Self(parsed))
    }
}

/// Why a value is none of its type.
fn type_error(path: &str, error: &serde_json::Error) -> Error {
    let told = error.to_string();
    let missing = told.strip_prefix("missing field `");
    let (detail, field) = match missing.and_then(|rest| rest.split('`').next()) {
        Some(field) => (FIELD_REQUIRED.to_owned(), Some(field)),
        None => (
            format!("Not valid: {told}."),
            Some(path).filter(|path| *path != "."),
        ),
    };
    Error::Invalid {
        detail,
        field: field.map(|field| field.to_owned().into()),
    }
}

/// The first field in the order of their names, and the first of its rules that is broken.
fn first_violation(errors: &ValidationErrors) -> Error {
    let fields = errors.field_errors();
    let first = fields.iter().min_by(|(a, _), (b, _)| a.cmp(b));
    let told = first
        .and_then(|(_, broken)| broken.first())
        .map(violation_text);
    Error::Invalid {
        detail: told.unwrap_or_else(|| FIELD_NOT_VALID.to_owned()),
        field: first.map(|(field, _)| field.to_string().into()),
    }
}

fn violation_text(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.to_string();
    }
    let bound = |name: &str| error.params.get(name);
    match (error.code.as_ref(), bound("min"), bound("max")) {
        ("length", Some(min), Some(max)) => format!("{min} to {max} characters."),
        ("length", None, Some(max)) => format!("{max} characters at most."),
        ("range", Some(min), Some(max)) => format!("A number from {min} to {max}."),
        _ => FIELD_NOT_VALID.to_owned(),
    }
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
                Error::invalid("The body broke off.")
            }
        })
}

/// Returns whether a value of `Content-Encoding` says that the body is as it is (RFC 9110, section 8.4.1).
fn is_identity_coding(coding: &HeaderValue) -> bool {
    let coding = coding.as_bytes().trim_ascii();
    coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(NOT_AN_OBJECT.to_owned()),
        Err(error) => Err(json_syntax_error(&error)),
    }
}

fn json_syntax_error(error: &serde_json::Error) -> String {
    format!("The body is not valid JSON: {error}.")
}

/// Whether a request that may change something comes with a body that is declared as something else
/// than JSON, be it that nothing in the body counts: a form of a foreign page can be sent as text, and
/// not as JSON.
pub(super) fn has_non_json_body(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let is_empty = headers
        .get(header::CONTENT_LENGTH)
        .is_none_or(|length| length == "0");
    let has_body = !is_empty || headers.contains_key(header::TRANSFER_ENCODING);
    // One without a type is judged by who reads it.
    has_body
        && !parts.method.is_safe()
        && headers.contains_key(header::CONTENT_TYPE)
        && !is_json_content_type(headers)
}

/// `application/json` or a type with the suffix `+json`, with whatever parameters (RFC 6839).
fn is_json_content_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
