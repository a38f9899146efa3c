//! A line in the log for each request, and what every line says that is written on its behalf:
//! which request (`X-Request-Id`), by which route, who asked, in which group.
//!
//! The route is told as the router knows it, `/api/invites/{code}`, and never the path or the query:
//! an invite's code opens a group, and what else clients put into an address nobody knows.

use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use loco_rs::{
    Result,
    app::AppContext,
    controller::middleware::{MiddlewareLayer, request_id::LocoRequestId},
};
use tracing::{Instrument, Span, field::Empty};

/// That of Loco's own, and so its key in the configuration.
pub const MIDDLEWARE_NAME: &str = "logger";

pub struct RequestLog {
    pub is_enabled: bool,
}

impl MiddlewareLayer for RequestLog {
    fn name(&self) -> &'static str {
        MIDDLEWARE_NAME
    }

    fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    fn config(&self) -> serde_json::Result<serde_json::Value> {
        Ok(serde_json::json!({ "enable": self.is_enabled }))
    }

    fn apply(&self, app: Router<AppContext>) -> Result<Router<AppContext>> {
        Ok(app.layer(from_fn(log_request)))
    }
}

async fn log_request(request: Request, next: Next) -> Response {
    let span = request_span(&request);
    let answering = async {
        let began = Instant::now();
        let response = next.run(request).await;
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        let status = response.status();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ms, "answered");
        } else {
            tracing::info!(status = status.as_u16(), ms, "answered");
        }
        response
    };
    answering.instrument(span).await
}

/// At the level of an error, so that even one that is logged alone says whose it is.
fn request_span(request: &Request) -> Span {
    let extensions = request.extensions();
    let request_id = extensions.get::<LocoRequestId>();
    let route = extensions.get::<MatchedPath>();
    tracing::error_span!(
        "request",
        request_id = request_id.map_or("", LocoRequestId::get),
        method = %request.method(),
        route = route.map_or("none", MatchedPath::as_str),
        // Whoever finds out says so, by `Span::record`.
        user = Empty,
        group = Empty,
    )
}
