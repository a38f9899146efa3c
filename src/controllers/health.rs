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

/// Returns 200 while the process runs, and checks nothing else.
async fn ping() -> Json<Liveness> {
    Json(Liveness::new(&[]))
}

/// Returns 200 while a restart of the process would not help: no task has failed, and the inbox of the node is handled.
///
/// The handler does not check the database, because a restart would not repair a database.
async fn liveness(SharedStore(channels): SharedStore<Channels>) -> (StatusCode, Json<Liveness>) {
    let liveness = Liveness::new(&channels.liveness_faults());
    (status_of(liveness.ok), Json(liveness))
}

/// Returns 200 if the node can serve requests, within a second.
///
/// A ready node is not stopping, none of its tasks has failed, the database accepts reads and writes, and the canary of
/// the node comes back. A node without Redis is degraded and ready.
async fn readiness(SharedStore(channels): SharedStore<Channels>) -> (StatusCode, Json<Readiness>) {
    let readiness = Readiness::new(&channels.faults().await);
    (status_of(readiness.ok), Json(readiness))
}

/// Returns the status of a probe.
pub(super) const fn status_of(is_ok: bool) -> StatusCode {
    if is_ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
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
        .add("/_ping", get(ping).options(probe_options))
        .add("/_health", get(liveness).options(probe_options))
        .add("/_readiness", get(readiness).options(probe_options))
}
