//! The opening handshake of a WebSocket (RFC 6455, section 4.2.1).

use axum::{
    extract::{FromRequestParts, ws::WebSocketUpgrade},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::errors::{Error, Result};

/// Bytes of the nonce in `Sec-WebSocket-Key`.
const NONCE_BYTES: usize = 16;

/// A request that opens a WebSocket.
///
/// `Connection` and `Upgrade` are lists, which may be spread over several lines (RFC 9110, section 5.3).
pub struct Handshake(pub WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = Error;

    /// # Errors
    /// [`Error::UpgradeRequired`] for a request that does not request a WebSocket of version 13, and
    /// [`Error::Invalid`] for a body, and for a key that is not the Base64 of 16 bytes.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let headers = &mut parts.headers;
        if !header_lists_value(headers, &header::CONNECTION, "upgrade")
            || !header_lists_value(headers, &header::UPGRADE, "websocket")
            || !has_version_13(headers)
        {
            return Err(Error::UpgradeRequired);
        }
        if has_body(headers) {
            // The server would read bytes of the body as frames, or frames as the body.
            return Err(Error::invalid("A WebSocket handshake has no body."));
        }
        if !has_valid_key(headers) {
            return Err(Error::invalid(
                "Sec-WebSocket-Key must occur once, as the Base64 of 16 bytes.",
            ));
        }
        // axum reads the first line of each header, and treats it as one value.
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        Ok(Self(upgrade.map_err(|_| Error::UpgradeRequired)?))
    }
}

impl Handshake {
    /// Returns whether a request offers a subprotocol, even if the handshake is invalid.
    #[must_use]
    pub fn offers_subprotocol(headers: &HeaderMap, subprotocol: &str) -> bool {
        header_lists_value(headers, &header::SEC_WEBSOCKET_PROTOCOL, subprotocol)
    }
}

/// Returns whether a header that is a list names a value, in any letter case.
fn header_lists_value(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    let lines = headers.get_all(name).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    values.any(|item| item.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
}

/// Returns whether the header names one version, which is 13 (RFC 6455, section 4.1).
fn has_version_13(headers: &HeaderMap) -> bool {
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    let version = versions.next().filter(|_| versions.next().is_none());
    version.is_some_and(|version| version.as_bytes().trim_ascii() == b"13")
}

fn has_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    headers.contains_key(header::TRANSFER_ENCODING)
        || lengths.any(|length| length.as_bytes().trim_ascii() != b"0")
}

fn has_valid_key(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none());
    let nonce = key.and_then(|key| STANDARD.decode(key.as_bytes().trim_ascii()).ok());
    nonce.is_some_and(|nonce| nonce.len() == NONCE_BYTES)
}
