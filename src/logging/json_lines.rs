//! The format of a line in JSON: the format of the library, with the node and the version.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

use crate::node::NodeName;

/// The prefix of fields that only the export of spans reads.
const EXPORT_PREFIX: &str = "otel.";

/// Formats each event as one JSON object on one line.
///
/// The library would write the innermost span as `span`, and all spans as `spans`. A line has one object `span` instead,
/// with the fields of all spans. So a line of an inner span has the fields of the request.
pub(super) struct JsonLines {
    event: Format<Json>,
    /// The constant members, from the comma before them to the end of the object.
    constant_members: String,
}

impl JsonLines {
    /// Returns the format of the lines of a node.
    pub(super) fn new(node: &NodeName, version: &str) -> Self {
        let object = json!({ "node": node.as_str(), "version": version }).to_string();
        Self {
            event: Format::default()
                .json()
                .with_current_span(false)
                .with_span_list(false),
            constant_members: object.replacen('{', ",", 1),
        }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.event
            .format_event(ctx, Writer::new(&mut line), event)?;
        let open_object = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writer.write_str(open_object)?;
        if let Some(span) = merge_spans(ctx) {
            write!(writer, ",\"span\":{}", Value::Object(span))?;
        }
        writeln!(writer, "{}", self.constant_members)
    }
}

/// Returns the fields of all spans of an event, and the name of the innermost span. `None` for an event outside of spans.
///
/// If two spans have a field of the same name, the field of the outer span counts.
fn merge_spans<S, N>(ctx: &FmtContext<'_, S, N>) -> Option<Map<String, Value>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    let mut merged = Map::new();
    let mut innermost = None;
    for span in ctx.event_scope()?.from_root() {
        innermost = Some(span.name());
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>();
        // The fields of a span are a JSON object.
        let fields = fields.and_then(|fields| serde_json::from_str(fields).ok());
        for (name, value) in fields.unwrap_or_else(Map::new) {
            if !name.starts_with(EXPORT_PREFIX) {
                merged.entry(name).or_insert(value);
            }
        }
    }
    merged.insert("name".to_owned(), innermost?.into());
    Some(merged)
}
