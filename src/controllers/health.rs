//! Probes: the process runs; the node may be given requests.

use axum::{Json, http::StatusCode};
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

pub fn routes() -> Routes {
    Routes::new()
        .add("/_ping", get(alive))
        .add("/_health", get(alive))
        .add("/_readiness", get(ready))
}
