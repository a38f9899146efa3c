//! The limits of open connections: of the node, and of each client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{LogThrottle, NetworkCounts};

/// Counts the connections of this node and of each client.
///
/// A connection from a trusted proxy counts for the client of its last request. Any other connection counts for
/// its peer. A proxy itself has no limit.
pub struct ConnectionLimiter {
    permits: Arc<Semaphore>,
    clients: Arc<ClientCounts>,
    full_log: LogThrottle,
}

/// The reason why a connection is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooManyConnections {
    /// The node has reached its limit.
    Node,
    /// The client has reached its limit.
    Client,
}

impl ConnectionLimiter {
    #[must_use]
    pub fn new(max_connections: usize, max_per_client: u32) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_connections)),
            clients: Arc::new(ClientCounts {
                counts: Mutex::default(),
                max_per_client,
                full_log: LogThrottle::default(),
            }),
            full_log: LogThrottle::default(),
        }
    }

    /// Returns a permit for a new connection of a client, given by its network; `None` is a trusted proxy.
    ///
    /// # Errors
    /// [`TooManyConnections`] when the node or the client has reached its limit.
    pub fn try_acquire(
        &self,
        client: Option<IpNet>,
    ) -> Result<Arc<ConnectionPermit>, TooManyConnections> {
        let Ok(node_permit) = self.permits.clone().try_acquire_owned() else {
            if let Some(suppressed) = self.full_log.allow() {
                tracing::warn!(suppressed, "connection limit reached");
            }
            return Err(TooManyConnections::Node);
        };
        let permit = ConnectionPermit {
            clients: self.clients.clone(),
            client_permit: Mutex::default(),
            _permit: node_permit,
        };
        permit.assign_client(client)?;
        Ok(Arc::new(permit))
    }
}

/// The connections of each client.
struct ClientCounts {
    /// The number of connections of each network.
    counts: Mutex<NetworkCounts>,
    max_per_client: u32,
    full_log: LogThrottle,
}

impl ClientCounts {
    fn try_add(self: &Arc<Self>, network: IpNet) -> Result<ClientPermit, TooManyConnections> {
        if !self.lock_counts().try_add(network, self.max_per_client) {
            if let Some(suppressed) = self.full_log.allow() {
                tracing::warn!(
                    %network,
                    suppressed,
                    "connection limit of a client reached; if the client is a proxy, add it to \
                     settings.door.trusted_proxies"
                );
            }
            return Err(TooManyConnections::Client);
        }
        Ok(ClientPermit {
            clients: self.clone(),
            network,
        })
    }

    fn lock_counts(&self) -> MutexGuard<'_, NetworkCounts> {
        // A panic elsewhere leaves the counts as they were between two calls.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection of a client until it is dropped.
struct ClientPermit {
    clients: Arc<ClientCounts>,
    network: IpNet,
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.clients.lock_counts().remove(self.network);
    }
}

/// The permit of one connection. It counts the connection until it is dropped.
pub struct ConnectionPermit {
    clients: Arc<ClientCounts>,
    client_permit: Mutex<Option<ClientPermit>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    /// Counts the connection for this client from now on, or for no client.
    ///
    /// # Errors
    /// [`TooManyConnections`] when the client has reached its limit. The connection then counts for no client.
    pub fn assign_client(&self, client: Option<IpNet>) -> Result<(), TooManyConnections> {
        let mut client_permit = self
            .client_permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if client_permit.as_ref().map(|permit| permit.network) == client {
            return Ok(());
        }
        // The old permit is dropped first, so that a connection does not count twice.
        *client_permit = None;
        if let Some(network) = client {
            *client_permit = Some(self.clients.try_add(network)?);
        }
        Ok(())
    }
}
