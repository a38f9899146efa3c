//! What every answer carries, to whoever it goes. Each is here for a reason of its own.

use axum::{
    extract::Request,
    http::{
        HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
            STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::Response,
};

use crate::{controllers::extractors::PublicBase, errors::Result};

/// Unless a handler has said something else.
const DEFAULT_HEADERS: [(HeaderName, &str); 8] = [
    // An answer is what it says it is, whatever a browser would guess from its content.
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Data needs nothing and nobody; pages name what they need.
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    // The same for browsers that do not know `frame-ancestors`.
    (X_FRAME_OPTIONS, "DENY"),
    // Groups stand in addresses. (With `no-referrer` forms would have no origin either.)
    (REFERRER_POLICY, "same-origin"),
    // Pages of others get nothing, even where they do not have to ask (Spectre).
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // A page of another site that opened ours gets no handle of it.
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    // A chat needs none of these.
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    // Answers have tokens and messages in them.
    (CACHE_CONTROL, "no-store"),
];

/// For a year. Not for sub-domains, which may be somebody else's.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds them.
pub(super) async fn add_default_headers(
    base: Result<PublicBase>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in DEFAULT_HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    // By plain http it would be ignored (RFC 6797, section 8.1).
    if base.is_ok_and(|base| base.is_https()) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}
