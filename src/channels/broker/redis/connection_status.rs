//! How much of Redis is in reach.

use tokio::sync::watch;

#[derive(Clone)]
pub(super) struct ConnectionStatus(watch::Sender<ServerCounts>);

/// What others wait for.
pub(super) type StatusWatch = watch::Receiver<ServerCounts>;

#[derive(Default)]
pub(super) struct ServerCounts {
    /// Servers that should be connected; `None` until it is known which.
    expected: Option<usize>,
    /// Servers that are.
    connected: usize,
}

impl ServerCounts {
    /// Whether all topics can be published.
    pub fn is_fully_connected(&self) -> bool {
        self.expected == Some(self.connected)
    }

    pub fn is_discovered(&self) -> bool {
        self.expected.is_some()
    }
}

impl ConnectionStatus {
    pub fn new() -> (Self, StatusWatch) {
        let (reach, reached) = watch::channel(ServerCounts::default());
        (Self(reach), reached)
    }

    pub fn set_expected(&self, servers: usize) {
        self.0.send_modify(|state| state.expected = Some(servers));
    }

    /// A server is connected as long as what this gives is kept.
    pub fn mark_connected(&self) -> ConnectedGuard {
        self.0.send_modify(|state| state.connected += 1);
        ConnectedGuard(self.0.clone())
    }
}

pub(super) struct ConnectedGuard(watch::Sender<ServerCounts>);

impl Drop for ConnectedGuard {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.connected -= 1);
    }
}
