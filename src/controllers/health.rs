//! Probes: liveness (the process runs) and readiness (the node can serve requests).

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

/// Returns 200 while the process runs. The handler checks nothing else: a restart would not repair a database.
async fn liveness() -> Json<Liveness> {
    Json(Liveness::default())
}

/// Returns 200 if the node can serve requests, within a second.
///
/// A ready node is not stopping, none of its tasks has failed, and the database accepts reads and writes.
async fn readiness(SharedStore(channels): SharedStore<Channels>) -> (StatusCode, Json<Readiness>) {
    let faults = channels.readiness_faults().await;
    let status = if faults.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness::new(&faults)))
}

/// Lists the methods of a probe (RFC 9110, section 9.3.7), for load balancers that send OPTIONS.
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
