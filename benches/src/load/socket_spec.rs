//! The description of a socket before it is opened: its target, its credentials, and its group.

use super::protocol::SocketProtocol;

/// A socket to be opened.
#[derive(Clone, Debug)]
pub struct SocketSpec {
    /// The port of the server.
    pub port: u16,
    /// The path, with its query.
    pub path: String,
    /// The protocol of the socket.
    pub protocol: SocketProtocol,
    /// Additional header lines, each with its line end.
    pub headers: String,
    /// The index of the group whose seqs the socket checks. It is the load's own index.
    pub group: usize,
    /// The seq of the last event that the socket already has. The path must contain it too.
    pub after: Option<u64>,
    /// `true` if the deliveries of the socket count. Otherwise they are only checked.
    pub is_measured: bool,
}

impl SocketSpec {
    /// Returns the socket of a client that resumes after an event.
    #[must_use]
    pub fn resuming_after(self, after: u64) -> Self {
        Self {
            path: format!("{}?after={after}", self.path),
            after: Some(after),
            ..self
        }
    }

    pub(super) fn upgrade_request(&self) -> String {
        let (path, headers) = (&self.path, &self.headers);
        format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{headers}\r\n"
        )
    }
}
