//! The client's own id of a request, by which a retry gets the first answer.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;

use crate::{
    errors::{Error, Result},
    models::messages::is_valid_cid,
};

/// The client's own id of a request, in the header `Idempotency-Key`: a retry with the same id gets the first
/// answer.
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// Returns the id of a request whose body may give it too, in the field `cid`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field that differs from the header.
    pub fn merge_with_body(self, cid: Option<Cid>) -> Result<Option<String>> {
        match (self.0, cid) {
            (Some(header), Some(Cid(field))) if header != field => Err(Error::Invalid {
                detail: "Idempotency-Key and cid differ; send one of them.".to_owned(),
                field: Some("cid".into()),
            }),
            (header, field) => Ok(header.or(field.map(|Cid(field)| field))),
        }
    }
}

/// The client's own id of a request, in its body.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct Cid(String);

impl TryFrom<String> for Cid {
    type Error = &'static str;

    fn try_from(cid: String) -> Result<Self, &'static str> {
        if is_valid_cid(&cid) {
            Ok(Self(cid))
        } else {
            Err(CID_RULE)
        }
    }
}

const CID_RULE: &str = "1 to 128 ASCII characters without spaces.";

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let cid = value.to_str().ok().filter(|cid| is_valid_cid(cid));
        let cid = cid.filter(|_| values.next().is_none());
        cid.map(|cid| Self(Some(cid.to_owned())))
            .ok_or_else(|| Error::invalid(format!("Idempotency-Key: {CID_RULE}")))
    }
}
