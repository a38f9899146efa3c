//! A socket before it is one: where it goes, as whom, and what it is to hear.

use super::protocol::SocketProtocol;

/// A socket to be opened.
#[derive(Clone, Debug)]
pub struct SocketSpec {
    pub port: u16,
    pub path: String,
    pub protocol: SocketProtocol,
    /// Lines, each with its end.
    pub headers: String,
    /// Whose numbers it hears: an index of the load's own.
    pub group: usize,
    /// The last event that it has. (Put it into the path too.)
    pub after: Option<u64>,
    /// Whether what it hears is what is measured; else it is only checked.
    pub is_measured: bool,
}

impl SocketSpec {
    pub(super) fn upgrade_request(&self) -> String {
        let (path, headers) = (&self.path, &self.headers);
        format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{headers}\r\n"
        )
    }
}
