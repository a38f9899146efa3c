//! The export of spans to a collector by OTLP (OpenTelemetry), as Protobuf over HTTP.
//!
//! A thread of its own exports the spans in batches. If the collector does not accept them, the queue of at most 2,048
//! spans becomes full, and further spans are dropped. The server waits for the collector only at its stop, for at most
//! [`FLUSH_TIMEOUT`].

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, Request, Response, StatusCode},
};
use opentelemetry::{
    Context, Key, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, Status, TraceContextExt, TraceState, TracerProvider},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::{runtime::Handle, task::spawn_blocking};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};
use url::Url;

use super::TraceParent;
use crate::{limits::LogThrottle, node::NodeName};

/// The time for which the stop of the server waits for the export.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The time of one request to the collector.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The header with the states of other tracing systems, which belongs to `traceparent`.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

static IS_EXPORTING: AtomicBool = AtomicBool::new(false);

/// The export, until it ends.
static EXPORT: Mutex<Option<SdkTracerProvider>> = Mutex::new(None);

pub(super) fn is_exporting() -> bool {
    IS_EXPORTING.load(Ordering::Relaxed)
}

/// Begins the export to the collector at this URL. Returns the layer that collects the spans of Salam.
///
/// # Errors
/// When the client cannot be set up.
pub(crate) fn open_export(
    endpoint: &Url,
    node: &NodeName,
    version: &str,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, HttpError> {
    let http = reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .build()?;
    // The URL is the base of all signals (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").
    let endpoint = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(CollectorClient {
            http,
            runtime: Handle::current(),
            failure_log: LogThrottle::new(),
        })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(node, version))
        .build();
    let tracer = provider.tracer("salam");
    *EXPORT.lock().unwrap_or_else(PoisonError::into_inner) = Some(provider);
    IS_EXPORTING.store(true, Ordering::Relaxed);
    // Events of the log are not exported, and neither are the spans of libraries.
    let is_own_span = filter_fn(|metadata| {
        metadata.is_span() && metadata.target().split("::").next() == Some("salam")
    });
    Ok(tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(is_own_span)
        .boxed())
}

/// Describes this node. The variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, which the library reads, add to
/// the description.
fn resource(node: &NodeName, version: &str) -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&Key::new("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", version.to_owned()),
        KeyValue::new("service.instance.id", node.as_str().to_owned()),
    ]);
    if !is_named {
        resource = resource.with_service_name("salam");
    }
    resource.build()
}

/// Makes the span of a request a child of the client's span. Returns the ids of the span.
pub(super) fn begin_request(
    span: &Span,
    parent: Option<TraceParent>,
    headers: &HeaderMap,
) -> Option<TraceParent> {
    if let Some(parent) = parent {
        let parent = SpanContext::new(
            TraceId::from(parent.trace_id.get()),
            SpanId::from(parent.span_id.get()),
            TraceFlags::new(parent.flags),
            true,
            trace_state(headers),
        );
        let context = Context::new().with_remote_span_context(parent);
        span.set_parent(context).ok()?;
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    Some(TraceParent {
        trace_id: u128::from_be_bytes(own.trace_id().to_bytes())
            .try_into()
            .ok()?,
        span_id: u64::from_be_bytes(own.span_id().to_bytes())
            .try_into()
            .ok()?,
        flags: own.trace_flags().to_u8(),
    })
}

/// Adds the status of the response to the span of a request.
pub(super) fn end_request(span: &Span, status: StatusCode) {
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
}

/// Returns the list of `tracestate`, which several headers may hold together. A list that is not valid is dropped.
fn trace_state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all(TRACESTATE).iter();
    let lists: Option<Vec<_>> = values.map(|value| value.to_str().ok()).collect();
    lists
        .and_then(|lists| lists.join(",").parse().ok())
        .unwrap_or_default()
}

/// Exports the waiting spans, and ends the export.
pub(super) async fn flush_and_close() {
    let export = EXPORT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(export) = export {
        IS_EXPORTING.store(false, Ordering::Relaxed);
        let closing = spawn_blocking(move || export.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = closing.await {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// The client of the collector. The thread of the export has no runtime, so the requests run on the server's runtime.
#[derive(Debug)]
struct CollectorClient {
    http: reqwest::Client,
    runtime: Handle,
    failure_log: LogThrottle,
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sending = async move {
            let response = http.execute(request.try_into()?).await?;
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            Ok::<_, reqwest::Error>((answer, response.error_for_status()?.bytes().await?))
        };
        match self.runtime.spawn(sending).await? {
            Ok((answer, body)) => Ok(answer.body(body)?),
            Err(error) => {
                // The URL may contain a password.
                let error = error.without_url();
                if let Some(suppressed) = self.failure_log.allow() {
                    tracing::warn!(%error, suppressed, "spans not exported");
                }
                Err(error.into())
            }
        }
    }
}
