//! The headers that every response carries. Each header has its reason next to it.

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

/// The headers that are added unless a handler has set them.
const DEFAULT_HEADERS: [(HeaderName, &str); 8] = [
    // Browsers must not guess another content type than the stated one.
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Data needs no other resource. Pages set a policy of their own.
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    // The same rule for browsers that do not support `frame-ancestors`.
    (X_FRAME_OPTIONS, "DENY"),
    // URLs contain names of groups. With `no-referrer`, forms would not send an origin.
    (REFERRER_POLICY, "same-origin"),
    // Pages of other sites must not read responses, even where no CORS check applies (Spectre).
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // A page of another site that opened a page of this site gets no reference to it.
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    // A chat needs none of these features.
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    // Responses contain tokens and messages.
    (CACHE_CONTROL, "no-store"),
];

/// The duration of HSTS is a year. Sub-domains are not included, because they may belong to others.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the default headers to a response, and HSTS for a public URL with https.
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
    // Browsers ignore HSTS over plain http (RFC 6797, section 8.1).
    if base.is_ok_and(|base| base.is_https()) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}
