//! The limits of concurrent connections: of the node, and of each client.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use loco_rs::app::AppContext;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    controllers::extractors::ClientAddress,
    errors::{Error, Result},
    limits::{LogThrottle, NetworkCounts},
    settings::{HttpSettings, NetworkSet, Settings},
};

/// Counts connections.
///
/// A connection from a trusted proxy counts for the client of its last request. Any other
/// connection counts for its peer. A proxy itself has no limit.
pub(super) struct ConnectionLimiter {
    permits: Arc<Semaphore>,
    clients: Arc<ClientCounts>,
    trusted_proxies: NetworkSet,
    full_log: LogThrottle,
}

/// The reason why a connection is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooManyConnections {
    /// The node has reached its limit.
    Node,
    /// The client has reached its limit.
    Client,
}

impl From<TooManyConnections> for Error {
    fn from(reason: TooManyConnections) -> Self {
        match reason {
            TooManyConnections::Node => Self::Unavailable,
            TooManyConnections::Client => Self::TooManyConnections,
        }
    }
}

impl ConnectionLimiter {
    /// Creates the limiter with the limits of the settings and of the node.
    pub(super) fn new(settings: &HttpSettings, max_connections: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_connections)),
            clients: Arc::new(ClientCounts {
                counts: Mutex::default(),
                max_per_client: settings.connections_per_address,
                full_log: LogThrottle::default(),
            }),
            trusted_proxies: settings.trusted_proxies.clone(),
            full_log: LogThrottle::default(),
        }
    }

    /// Returns a permit for a new connection.
    ///
    /// # Errors
    /// [`TooManyConnections`] when the node or the client has reached its limit.
    pub(super) fn try_acquire(
        &self,
        peer: IpAddr,
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
        if !self.trusted_proxies.contains(peer) {
            permit.assign_client(peer.into())?;
        }
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
    fn try_add(
        self: &Arc<Self>,
        client: ClientAddress,
    ) -> Result<ClientPermit, TooManyConnections> {
        let network = client.network();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.try_add(network, self.max_per_client) {
            drop(counts);
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
}

/// Counts one connection of a client until it is dropped.
struct ClientPermit {
    clients: Arc<ClientCounts>,
    network: IpNet,
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let counts = self.clients.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        counts.remove(self.network);
    }
}

/// The permit of one connection. It counts the connection until it is dropped.
pub(super) struct ConnectionPermit {
    clients: Arc<ClientCounts>,
    client_permit: Mutex<Option<ClientPermit>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    /// Counts the connection for this client from now on.
    fn assign_client(&self, client: ClientAddress) -> Result<(), TooManyConnections> {
        let mut client_permit = self
            .client_permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if client_permit
            .as_ref()
            .is_some_and(|permit| permit.network == client.network())
        {
            return Ok(());
        }
        // The old permit is dropped first, so that a connection does not count twice.
        *client_permit = None;
        *client_permit = Some(self.clients.try_add(client)?);
        Ok(())
    }

    /// Counts the connection for no client.
    fn clear_client(&self) {
        *self
            .client_permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Answers requests of rejected connections, and assigns each other connection to its client.
pub(super) async fn enforce(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if let Some(reason) = request.extensions().get::<TooManyConnections>() {
        return Err((*reason).into());
    }
    let settings = Settings::from_context(&ctx)?;
    // Without the accept loop, as in the framework's own tests, there is no permit and no count.
    if let (Some(permit), Ok(client)) =
        (request.extensions().get::<Arc<ConnectionPermit>>(), client)
    {
        if settings.door.trusted_proxies.contains(client.ip()) {
            permit.clear_client();
        } else {
            permit.assign_client(client)?;
        }
    }
    Ok(next.run(request).await)
}
