//! The JSON of errors, and the descriptions of error responses in the OpenAPI document.

use std::borrow::Cow;
#[allow(
    unused_imports,
    reason = "named in the attributes of the OpenAPI document"
)]
use std::collections::HashMap;

use serde::{Serialize, Serializer};
use utoipa::{IntoResponses, ToSchema};

/// An error of the base contract. It has no other key.
#[derive(Serialize, ToSchema)]
pub struct BaseError {
    /// The text of the error, for people.
    #[schema(example = "Authentication credentials were not provided")]
    pub detail: String,
}

/// An error of all other endpoints.
#[derive(Serialize, ToSchema)]
pub struct ApiError {
    /// The text of the error, for people.
    #[schema(example = "Not found.")]
    pub detail: String,
    /// The fixed code of the error, for programs.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// The invalid field of the body, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<Cow<'static, str>>,
}

/// The error responses of endpoints with a request body.
#[derive(IntoResponses)]
pub enum BodyErrors {
    /// The body is larger than 64 KiB. If the error has `field`, a text is too long.
    #[response(status = 413, example = json!({"detail": "The body is too large.", "code": "too_large"}))]
    BodyTooLarge(#[allow(dead_code, reason = "read by the document")] ApiError),
    /// The body is not declared as JSON, or is encoded.
    #[response(status = 415, example = json!({"detail": "Send the body as application/json.", "code": "invalid"}))]
    NotJson(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints that need the database.
#[derive(IntoResponses)]
pub enum Unavailable {
    /// The database is unavailable, or the server is overloaded: too many users log in, or too many clients connect at
    /// once. Retry after the time in `Retry-After`.
    #[response(status = 503, headers(("Retry-After" = u64, description = "The seconds to wait before the next attempt.")),
        example = json!({"detail": "Temporarily unavailable; try again soon.", "code": "unavailable"}))]
    Unavailable(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints that need a login.
#[derive(IntoResponses)]
pub enum Unauthorized {
    /// `Authorization` has no valid access token. A cookie is not accepted. If the code is `token_expired`, refresh the
    /// token.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "The value is `Bearer` without a token, and `Bearer error=\"invalid_token\"` with an expired or invalid token.")),
        example = json!({"detail": "The access token has expired; refresh it.", "code": "token_expired"}))]
    Unauthorized(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints with parameters.
#[derive(IntoResponses)]
pub enum Invalid {
    /// A parameter or the body is invalid.
    #[response(status = 400, example = json!({"detail": "This must be a whole number, 1 or more.", "code": "invalid", "field": "limit"}))]
    Invalid(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints of a group or an invite.
#[derive(IntoResponses)]
pub enum NotFound {
    /// The group does not exist, you are not a member of the group, or the group does not have the requested object.
    /// For an invite: the invite does not exist, has expired, was revoked, or is used up.
    #[response(status = 404, example = json!({"detail": "Not found.", "code": "not_found"}))]
    NotFound(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints that need a role.
#[derive(IntoResponses)]
pub enum Forbidden {
    /// Your role does not allow this. If the code is `banned`, you are banned from the group.
    #[response(status = 403, example = json!({"detail": "You may not do this.", "code": "forbidden"}))]
    Forbidden(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of requests that conflict with the current state.
#[derive(IntoResponses)]
pub enum Conflict {
    /// The request conflicts with the current state. If the code is `cid_reused`, the id was used for another request.
    /// If the code is `limit_exceeded`, a maximum number is reached.
    #[response(status = 409, example = json!({"detail": "Make another member the owner first.", "code": "conflict"}))]
    Conflict(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints of a message.
#[derive(IntoResponses)]
pub enum Gone {
    /// The message was deleted, or the group was deleted while the message was sent.
    #[response(status = 410, example = json!({"detail": "This message was deleted.", "code": "gone"}))]
    Gone(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of endpoints with a rate limit.
#[derive(IntoResponses)]
pub enum RateLimited {
    /// There were too many requests. Retry after the time in `Retry-After`.
    #[response(status = 429, headers(("Retry-After" = u64, description = "The seconds to wait before the next attempt.")),
        example = json!({"detail": "Too many requests; slow down.", "code": "rate_limited"}))]
    RateLimited(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response to a handshake of a socket.
#[derive(IntoResponses)]
pub enum TooManySocketsResponse {
    /// Your address has too many sockets, or, for a base socket, your account has too many sockets. A rich socket gets
    /// a frame `bye` if the account has too many sockets.
    #[response(status = 429, headers(("Retry-After" = u64, description = "The seconds to wait before the next attempt.")),
        example = json!({"detail": "Too many sockets; close one.", "code": "rate_limited"}))]
    TooManySockets(#[allow(dead_code, reason = "read by the document")] ApiError),
}

/// The error response of a registration over the rate limit.
#[derive(IntoResponses)]
pub enum RegistrationRateLimited {
    /// There were too many registrations from your address.
    #[response(status = 429, headers(("Retry-After" = u64, description = "The seconds to wait before the next attempt.")),
        example = json!({"error": "Too many requests; slow down."}))]
    RateLimited(#[allow(dead_code, reason = "read by the document")] RegisterErrors),
}

/// The error responses of a registration whose body cannot be read.
#[derive(IntoResponses)]
pub enum RegistrationBodyErrors {
    /// The body is larger than 64 KiB.
    #[response(status = 413, example = json!({"error": "The body is too large."}))]
    BodyTooLarge(#[allow(dead_code, reason = "read by the document")] RegisterErrors),
    /// The body is not declared as JSON, or is encoded.
    #[response(status = 415, example = json!({"error": "Send the body as application/json."}))]
    NotJson(#[allow(dead_code, reason = "read by the document")] RegisterErrors),
}

/// The error of a registration.
#[derive(Serialize, ToSchema)]
pub struct RegisterErrors {
    /// The text of the error, for people.
    #[schema(example = "Username already used")]
    pub error: String,
    /// The invalid fields, each with its errors.
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    #[schema(value_type = HashMap<String, Vec<String>>, required = false, example = json!({"password": ["This password is too common."]}))]
    pub errors: FieldErrors,
}

/// The errors of fields, in the order of the fields.
#[derive(Debug, Default, ToSchema)]
#[schema(value_type = Object)]
pub struct FieldErrors(Vec<(&'static str, String)>);

impl FieldErrors {
    /// Returns the same error for each of some fields.
    #[must_use]
    pub fn of<const N: usize>(fields: [&'static str; N], text: &str) -> Self {
        Self(fields.map(|field| (field, text.to_owned())).into())
    }

    /// Adds an error of a field.
    pub fn add(&mut self, field: &'static str, text: impl Into<String>) {
        self.0.push((field, text.into()));
    }

    /// Returns `true` if no field has an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first error with the name of its field, or an empty text.
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
