//! Traces: the trace of each request, and the spans of its commands until their delivery.
//!
//! A request belongs to the trace of its header `traceparent`, or begins a trace. The log has the id of the trace in
//! each line that the request caused. With the cargo feature `otlp` and `settings.otlp_endpoint`, the node also
//! exports the spans. Otherwise the spans of commands do not exist, and cost nothing.

#[cfg(feature = "otlp")]
mod otlp;
mod parent;

use axum::http::{HeaderMap, StatusCode};
use tracing::{Span, field::display};

#[cfg(feature = "otlp")]
pub(crate) use self::otlp::open_export;
pub use self::parent::{RANDOM, SAMPLED, TRACEPARENT, TraceParent};

/// Returns `true` if this node exports spans.
#[must_use]
pub fn is_exporting() -> bool {
    #[cfg(feature = "otlp")]
    return otlp::is_exporting();
    #[cfg(not(feature = "otlp"))]
    false
}

/// Puts the span of a request into the trace of its headers, or into a new trace. Returns the span's own ids.
///
/// A header that is not valid is ignored, as the standard requires.
pub fn begin_request(span: &Span, headers: &HeaderMap) -> TraceParent {
    let parent = TraceParent::from_headers(headers);
    let own = exported_request(span, parent, headers)
        .unwrap_or_else(|| parent.map_or_else(TraceParent::begin_trace, TraceParent::child));
    span.record("trace_id", display(format_args!("{:032x}", own.trace_id)));
    own
}

/// Returns the ids of an exported request, or `None` if this node exports no spans.
#[cfg(feature = "otlp")]
fn exported_request(
    span: &Span,
    parent: Option<TraceParent>,
    headers: &HeaderMap,
) -> Option<TraceParent> {
    otlp::is_exporting().then(|| otlp::begin_request(span, parent, headers))?
}

#[cfg(not(feature = "otlp"))]
fn exported_request(_: &Span, _: Option<TraceParent>, _: &HeaderMap) -> Option<TraceParent> {
    None
}

/// Adds the status of the response to the span of a request.
pub fn end_request(span: &Span, status: StatusCode) {
    #[cfg(feature = "otlp")]
    if otlp::is_exporting() {
        otlp::end_request(span, status);
    }
    #[cfg(not(feature = "otlp"))]
    let _ = (span, status);
}

/// Returns the span to which a command belongs: the span of the request, or a span of its own. Returns no span without
/// an export and without a log of commands.
pub(crate) fn command_span() -> Span {
    if is_exporting() {
        let current = Span::current();
        if current.is_none() {
            return tracing::info_span!("command");
        }
        return current;
    }
    if tracing::enabled!(tracing::Level::DEBUG) {
        return Span::current();
    }
    Span::none()
}

/// Returns a span for each of these items, if this node exports spans.
pub(crate) fn spans_of<T>(
    items: impl IntoIterator<Item = T>,
    span: impl FnMut(T) -> Span,
) -> Vec<Span> {
    if is_exporting() {
        items.into_iter().map(span).collect()
    } else {
        Vec::new()
    }
}

/// Exports the waiting spans, and ends the export.
pub async fn flush_and_close() {
    #[cfg(feature = "otlp")]
    otlp::flush_and_close().await;
}
