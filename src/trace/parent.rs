//! The header `traceparent` of [W3C Trace Context](https://www.w3.org/TR/trace-context/). No I/O.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The flag of a trace whose spans are exported.
pub const SAMPLED: u8 = 0b01;

/// The flag of a random trace id (Trace Context, level 2).
pub const RANDOM: u8 = 0b10;

/// The trace of a request, and one span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: NonZeroU128,
    pub span_id: NonZeroU64,
    pub flags: u8,
}

impl TraceParent {
    /// Returns the span of a client from the headers of its request. `None` without exactly one valid header.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        Self::parse(value.to_str().ok()?)
    }

    /// Parses the value of a header. The first four fields of a later version count (section 4.3, "Versioning").
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(5, '-');
        let mut field = |length| parse_hex(fields.next()?, length);
        let version = field(2)?;
        let (trace_id, span_id, flags) = (field(32)?, field(16)?, field(2)?);
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(trace_id)?,
            span_id: NonZeroU64::new(u64::try_from(span_id).ok()?)?,
            // The flags that this version does not know are not passed on.
            flags: u8::try_from(flags).ok()? & (SAMPLED | RANDOM),
        })
    }

    /// Returns a span in a new trace.
    #[must_use]
    pub fn begin_trace() -> Self {
        Self {
            trace_id: NonZeroU128::new(rand::random()).unwrap_or(NonZeroU128::MIN),
            span_id: random_span_id(),
            flags: RANDOM,
        }
    }

    /// Returns a new span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: random_span_id(),
            ..self
        }
    }

    /// Returns the value of the header.
    #[must_use]
    pub fn header_value(self) -> Option<HeaderValue> {
        self.to_string().try_into().ok()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// Parses a field of lower-case hexadecimal digits.
fn parse_hex(field: &str, length: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_valid = field.len() == length && field.bytes().all(is_digit);
    is_valid.then(|| u128::from_str_radix(field, 16).ok())?
}

fn random_span_id() -> NonZeroU64 {
    NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{TRACEPARENT, TraceParent};

    /// The example of the standard.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_header_is_kept() {
        let parent = TraceParent::parse(EXAMPLE).expect("it is valid");
        assert_eq!(parent.to_string(), EXAMPLE);
        let child = parent.child();
        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child.span_id, parent.span_id);
        assert_eq!(child.flags, 1);
    }

    #[test]
    fn the_known_fields_of_a_later_version_count() {
        for text in [
            EXAMPLE.replacen("00", "cc", 1),
            EXAMPLE.replacen("00", "cc", 1) + "-what-the-future-brings",
            EXAMPLE.replace("-01", "-fd"),
        ] {
            assert_eq!(
                TraceParent::parse(&text).map(|parent| parent.to_string()),
                Some(EXAMPLE.to_owned())
            );
        }
    }

    #[test]
    fn a_malformed_header_is_ignored() {
        for text in [
            String::new(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00", "ff", 1),
            EXAMPLE.replacen("00", "0", 1),
            EXAMPLE.replace("-01", "-1"),
            EXAMPLE.replace("-01", ""),
            EXAMPLE.replace("4bf", "4b"),
            EXAMPLE.replace("4bf", "xbf"),
            format!("{EXAMPLE}-extra"),
            format!("{EXAMPLE}."),
            EXAMPLE.replacen("00", "cc", 1) + ".extra",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
        ] {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(EXAMPLE));
        assert!(TraceParent::from_headers(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(EXAMPLE));
        assert_eq!(TraceParent::from_headers(&headers), None);
    }
}
