//! Probes: the process runs; the node may be given requests.

use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
};
use loco_rs::{
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::get,
};

use crate::{
    channels::Channels,
    views::health::{Liveness, Readiness},
};

/// The process answers. Looks at nothing else: a restart would not bring a database back.
async fn liveness() -> Json<Liveness> {
    Json(Liveness::default())
}

/// The node can serve: it is not stopping, none of its tasks has failed, and the database takes reads and
/// writes. Answers within a second.
async fn readiness(SharedStore(channels): SharedStore<Channels>) -> (StatusCode, Json<Readiness>) {
    let faults = channels.readiness_faults().await;
    let status = if faults.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness::new(&faults)))
}

/// Lists the methods of a probe (RFC 9110, section 9.3.7): some load balancers ask.
async fn probe_options() -> (StatusCode, [(HeaderName, &'static str); 1]) {
    (
        StatusCode::NO_CONTENT,
        [(header::ALLOW, "GET,HEAD,OPTIONS")],
    )
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/_ping", get(liveness).options(probe_options))
        .add("/_health", get(liveness).options(probe_options))
        .add("/_readiness", get(readiness).options(probe_options))
}
