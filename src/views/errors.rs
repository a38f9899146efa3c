//! The JSON of what went wrong.

use std::borrow::Cow;
#[allow(unused_imports, reason = "named by the document")]
use std::collections::HashMap;

use serde::{Serialize, Serializer};
use utoipa::{IntoResponses, ToSchema};

/// A refusal of the base contract, which has no other key.
#[derive(Serialize, ToSchema)]
pub struct Refusal {
    #[schema(example = "Authentication credentials were not provided")]
    pub detail: String,
}

/// A refusal everywhere else.
#[derive(Serialize, ToSchema)]
pub struct Detail {
    /// For a person.
    #[schema(example = "Not found.")]
    pub detail: String,
    /// For a program: a slug that does not change.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// The field of the body that is at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<Cow<'static, str>>,
}

/// What every endpoint that takes a body may answer.
#[derive(IntoResponses)]
pub enum BodyErrors {
    /// The body is larger than 64 KiB.
    #[response(status = 413, example = json!({"detail": "The body is too large.", "code": "too_large"}))]
    BodyTooLarge(#[allow(dead_code, reason = "read by the document")] Detail),
    /// There is a body and it is not declared as JSON.
    #[response(status = 415, example = json!({"detail": "Send the body as application/json.", "code": "invalid"}))]
    NotJson(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What every endpoint that needs the database may answer.
#[derive(IntoResponses)]
pub enum Unavailable {
    /// The database is out of reach, or too many log in at once.
    #[response(status = 503, example = json!({"detail": "Temporarily unavailable; try again soon.", "code": "unavailable"}))]
    Unavailable(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What every endpoint that needs a login may answer.
#[derive(IntoResponses)]
pub enum Unauthorized {
    /// No access token in `Authorization` (a cookie does not count), or one that is not valid. The code
    /// `token_expired` says that a refresh helps.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer`")),
        example = json!({"detail": "The access token has expired; refresh it.", "code": "token_expired"}))]
    Unauthorized(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What every endpoint with parameters may answer.
#[derive(IntoResponses)]
pub enum Invalid {
    /// A parameter or the body is at fault.
    #[response(status = 400, example = json!({"detail": "A whole number, 1 or more.", "code": "invalid", "field": "limit"}))]
    Invalid(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What every endpoint of a group or an invite may answer.
#[derive(IntoResponses)]
pub enum NotFound {
    /// There is no such group, or you are no member of it, or what you ask for is not in it; or
    /// there is no such invite, or it has expired, was withdrawn, or is used up.
    #[response(status = 404, example = json!({"detail": "Not found.", "code": "not_found"}))]
    NotFound(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What endpoints may answer that not everybody may use.
#[derive(IntoResponses)]
pub enum Forbidden {
    /// Your role does not allow it, or (`banned`) you were put out for good.
    #[response(status = 403, example = json!({"detail": "You may not do this.", "code": "forbidden"}))]
    Forbidden(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What endpoints may answer that do not fit to how things are.
#[derive(IntoResponses)]
pub enum Conflict {
    /// It does not fit to how things are; or (`cid_reused`) this id was used for something else; or
    /// (`limit_exceeded`) it would be more than there may be.
    #[response(status = 409, example = json!({"detail": "Make somebody else the owner first.", "code": "conflict"}))]
    Conflict(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What endpoints of a message may answer.
#[derive(IntoResponses)]
pub enum Gone {
    /// The message was deleted, or the group while it was sent.
    #[response(status = 410, example = json!({"detail": "This message was deleted.", "code": "gone"}))]
    Gone(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What endpoints may answer that are limited in number.
#[derive(IntoResponses)]
pub enum RateLimited {
    /// There was too much of this lately; `Retry-After` says when there may be more.
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds.")),
        example = json!({"detail": "Too many requests; slow down.", "code": "rate_limited"}))]
    RateLimited(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What the sockets may answer to a handshake.
#[derive(IntoResponses)]
pub enum TooManySocketsResponse {
    /// Too many sockets come from your address; or, of a base socket, you have too many. (A rich
    /// socket of somebody who has too many is told so by a frame `bye`.)
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds.")),
        example = json!({"detail": "Too many sockets; close one.", "code": "rate_limited"}))]
    TooManySockets(#[allow(dead_code, reason = "read by the document")] Detail),
}

/// What a registration may answer besides.
#[derive(IntoResponses)]
pub enum RegistrationRateLimited {
    /// Too many accounts come from your address.
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds.")),
        example = json!({"error": "Too many requests; slow down."}))]
    RateLimited(#[allow(dead_code, reason = "read by the document")] RegisterRefused),
}

/// The refusals of a registration whose body cannot be read.
#[derive(IntoResponses)]
pub enum RegistrationBodyErrors {
    /// The body is larger than 64 KiB.
    #[response(status = 413, example = json!({"error": "The body is too large."}))]
    BodyTooLarge(#[allow(dead_code, reason = "read by the document")] RegisterRefused),
    /// The body is not declared as JSON, or is encoded.
    #[response(status = 415, example = json!({"error": "Send the body as application/json."}))]
    NotJson(#[allow(dead_code, reason = "read by the document")] RegisterRefused),
}

/// A registration that was refused.
#[derive(Serialize, ToSchema)]
pub struct RegisterRefused {
    /// For a person.
    #[schema(example = "Username already used")]
    pub error: String,
    /// The fields that are at fault, each with what is wrong about it.
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    #[schema(value_type = HashMap<String, Vec<String>>, required = false, example = json!({"password": ["This password is too common."]}))]
    pub errors: FieldErrors,
}

/// What is wrong about which field, in the order of the fields.
#[derive(Debug, Default, ToSchema)]
#[schema(value_type = Object)]
pub struct FieldErrors(Vec<(&'static str, String)>);

impl FieldErrors {
    pub fn add(&mut self, field: &'static str, text: impl Into<String>) {
        self.0.push((field, text.into()));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of them as one sentence.
    #[must_use]
    pub fn first_message(&self) -> String {
        self.0
            .first()
            .map(|(field, text)| format!("{field}: {text}"))
            .unwrap_or_default()
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, text)| (field, [text])))
    }
}
