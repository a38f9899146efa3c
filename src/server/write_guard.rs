//! Refuses requests that write while writes are forbidden, and records failed writes for readiness.
//!
//! [`Health::forbids_writes`] decides whether writes are forbidden.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::{
    database::Outage,
    errors::{Error, Result},
    health::Health,
};

/// Answers 503 to every method that is not safe (RFC 9110, section 9.2.1) while writes are
/// forbidden.
pub(super) async fn reject_forbidden_writes(
    State(health): State<Health>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let writes = !request.method().is_safe();
    if writes && health.forbids_writes() {
        return Err(Error::Unavailable);
    }
    let response = next.run(request).await;
    if writes && let Some(outage) = response.extensions().get::<Outage>() {
        health.record_failed_write(*outage);
    }
    Ok(response)
}
