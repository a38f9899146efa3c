//! The confirmation of an action that cannot be undone.

use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::Deserialize;

use super::{ApiJson, QueryParams};
use crate::errors::{Error, Result};

const CONFIRM_FIELD: &str = "confirm";

/// The name of the thing that the action is about, repeated in the query (`?confirm=<name>`) or in the body
/// (`{"confirm": "<name>"}`).
///
/// A path that a client built wrongly, or that a proxy rewrote, has no such name. So it can delete nothing.
pub struct Confirmation(Option<String>);

#[derive(Deserialize)]
struct ConfirmationBody {
    confirm: Option<String>,
}

impl Confirmation {
    /// Checks that the request repeats the name. The error describes the expected name by `what`.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the field `confirm`.
    pub fn check(&self, what: &str, is_named: impl FnOnce(&str) -> bool) -> Result<()> {
        if self.0.as_deref().is_some_and(is_named) {
            return Ok(());
        }
        Err(Error::Invalid {
            detail: format!("This cannot be undone. Add ?confirm=<{what}> to confirm it."),
            field: Some(CONFIRM_FIELD.into()),
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Confirmation {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let query = QueryParams::from_request_parts(&mut parts, state).await?;
        if let Some(name) = query.text(CONFIRM_FIELD)? {
            return Ok(Self(Some(name.to_owned())));
        }
        let request = Request::from_parts(parts, body);
        let ApiJson(ConfirmationBody { confirm }) = ApiJson::from_request(request, state).await?;
        Ok(Self(confirm))
    }
}
