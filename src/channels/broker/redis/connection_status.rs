//! The state of the connections to the servers of Redis.

use tokio::sync::watch;

/// Counts the connected servers. Clones share the counts.
#[derive(Clone)]
pub(super) struct ConnectionStatus(watch::Sender<ServerCounts>);

/// A receiver that waits for changes of the counts.
pub(super) type StatusWatch = watch::Receiver<ServerCounts>;

/// The numbers of servers that should be connected and that are connected.
#[derive(Default)]
pub(super) struct ServerCounts {
    /// The number of servers that should be connected. `None` until the servers are discovered.
    expected: Option<usize>,
    /// The number of servers that are connected.
    connected: usize,
}

impl ServerCounts {
    /// Returns `true` if all topics can be published.
    pub fn is_fully_connected(&self) -> bool {
        self.expected == Some(self.connected)
    }

    /// The numbers of servers that should be connected and that are connected.
    pub fn counts(&self) -> (usize, usize) {
        (self.expected.unwrap_or(1), self.connected)
    }

    /// Returns `true` once the servers are discovered.
    pub fn is_discovered(&self) -> bool {
        self.expected.is_some()
    }
}

impl ConnectionStatus {
    /// Creates the counts. Returns the sender and a receiver.
    pub fn new() -> (Self, StatusWatch) {
        let (sender, watch) = watch::channel(ServerCounts::default());
        (Self(sender), watch)
    }

    /// Sets the number of servers that should be connected.
    pub fn set_expected(&self, servers: usize) {
        self.0.send_modify(|state| state.expected = Some(servers));
    }

    /// Counts a server as connected until the guard is dropped.
    pub fn mark_connected(&self) -> ConnectedGuard {
        self.0.send_modify(|state| state.connected += 1);
        ConnectedGuard(self.0.clone())
    }
}

/// Counts one server as connected until it is dropped.
pub(super) struct ConnectedGuard(watch::Sender<ServerCounts>);

impl Drop for ConnectedGuard {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.connected -= 1);
    }
}
