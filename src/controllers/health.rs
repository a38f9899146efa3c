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
    views::health::{Alive, Readiness},
};

/// The process answers. Looks at nothing else: a restart would not bring a database back.
async fn alive() -> Json<Alive> {
    Json(Alive::default())
}

/// The node can serve: it is not stopping, none of its tasks has failed, and the database takes reads and
/// writes. Answers within a second.
async fn ready(SharedStore(channels): SharedStore<Channels>) -> (StatusCode, Json<Readiness>) {
    let faults = channels.faults().await;
    let status = if faults.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness::new(&faults)))
}

/// Lists the methods of a probe (RFC 9110, section 9.3.7): some load balancers ask.
async fn methods() -> (StatusCode, [(HeaderName, &'static str); 1]) {
    (
        StatusCode::NO_CONTENT,
        [(header::ALLOW, "GET,HEAD,OPTIONS")],
    )
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/_ping", get(alive).options(methods))
        .add("/_health", get(alive).options(methods))
        .add("/_readiness", get(ready).options(methods))
}
