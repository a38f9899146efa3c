//! The log of refused clients, with their addresses.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use loco_rs::app::AppContext;

use crate::{
    controllers::extractors::ClientAddress,
    errors::{Refusal, Result},
    limits::ClientLogThrottle,
};

/// The reason of a refused handshake whose error has no reason of its own. The status has the details.
const REFUSED_HANDSHAKE: Refusal = Refusal("handshake");

/// Logs the client of each refused request, and of each refused handshake of a socket.
///
/// For each client and reason, there is at most one line in 10 s.
pub(super) async fn log_refusals(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_handshake = path == "/ws" || path.starts_with("/ws/");
    let response = next.run(request).await;
    let status = response.status();
    let refused_handshake = (is_handshake && status.is_client_error()).then_some(REFUSED_HANDSHAKE);
    let refusal = response.extensions().get::<Refusal>().copied();
    if let Some(Refusal(reason)) = refusal.or(refused_handshake)
        && let Ok(client) = client
        && let Some(throttle) = ctx.shared_store.get::<Arc<ClientLogThrottle>>()
        && let Some(suppressed) = throttle.allow(client.network(), reason)
    {
        let request_id = response.headers().get("x-request-id");
        tracing::warn!(
            client = %client.ip(),
            reason,
            status = status.as_u16(),
            request_id = request_id.and_then(|id| id.to_str().ok()),
            suppressed,
            "client refused"
        );
    }
    response
}
