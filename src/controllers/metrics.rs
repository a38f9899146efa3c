//! The endpoints of the metrics listener, for Prometheus and for the operator. The listener of the API has none of them.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::health::status_of;
use crate::{
    channels::Channels,
    metrics::{self, CONTENT_TYPE},
    views::health::Health,
};

/// Returns the metrics of this node in the text format of Prometheus.
async fn metrics(State(channels): State<Channels>) -> Response {
    let faults = channels.faults().await;
    // The files of the kernel that the metrics read may block the thread for milliseconds.
    let encoded = tokio::task::spawn_blocking(move || metrics::encode(&channels.gauges(&faults)));
    match encoded.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns the state of this node in detail: 200 if it serves, and 503 if it does not.
async fn health(State(channels): State<Channels>) -> (StatusCode, Json<Health>) {
    let health = Health::from(channels.health_report().await);
    (status_of(health.ok), Json(health))
}

/// Returns the routes of the metrics listener.
pub fn router(channels: Channels) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(channels)
}
