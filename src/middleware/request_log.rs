//! The request log: one line for each request, and the fields of all lines that a request causes.
//!
//! The fields are the ids of the trace and of the request (`X-Request-Id`), the route, the user and the group. The log
//! contains the route of the router, such as `/api/invites/{code}`, and never the path or the
//! query. The code of an invite admits to a group, and clients may put other secrets into a URL.

use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::Method,
    middleware::{Next, from_fn},
    response::Response,
};
use loco_rs::{
    Result,
    app::AppContext,
    controller::middleware::{MiddlewareLayer, request_id::LocoRequestId},
};
use tracing::{Instrument, Span, field::Empty};

use crate::{
    metrics::METRICS,
    trace::{self, TRACEPARENT},
};

/// The name of Loco's own logger, which is also its key in the configuration.
pub const MIDDLEWARE_NAME: &str = "logger";

/// The layer that logs requests.
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
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let trace_parent = trace::begin_request(&span, request.headers());
    let logged_request = async {
        let started_at = Instant::now();
        let mut response = next.run(request).await;
        let took = started_at.elapsed();
        let ms = took.as_secs_f64() * 1000.0;
        let status = response.status();
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        METRICS.record_request(method, route, status.as_u16(), took);
        if let Some(value) = trace_parent.header_value() {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        trace::end_request(&Span::current(), status);
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ms, "request answered");
        } else {
            tracing::info!(status = status.as_u16(), ms, "request answered");
        }
        response
    };
    logged_request.instrument(span).await
}

/// Returns the name of a method for the metrics. A client may send any other method, and a label has few values.
const fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Creates the span of a request. Its level is `error`, so that a log of errors alone keeps the
/// fields.
fn request_span(request: &Request) -> Span {
    let extensions = request.extensions();
    let request_id = extensions.get::<LocoRequestId>();
    let route = extensions.get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str);
    // The export shows the name and the kind of the span.
    let name = trace::is_exporting().then(|| format!("{} {route}", request.method()));
    tracing::error_span!(
        "request",
        otel.kind = name.as_ref().map(|_| "server"),
        otel.name = name,
        trace_id = Empty,
        request_id = request_id.map_or("", LocoRequestId::get),
        method = %request.method(),
        route,
        // Extractors set these fields by `Span::record`.
        user = Empty,
        group = Empty,
    )
}
