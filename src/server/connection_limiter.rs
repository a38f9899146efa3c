//! How many may be here at once: in all, and of one client.

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
/// One from a listed proxy counts for the client whose request it carried last, any other for its
/// peer. A proxy itself may have as many as it wants.
pub(super) struct ConnectionLimiter {
    permits: Arc<Semaphore>,
    clients: Arc<ClientCounts>,
    trusted_proxies: NetworkSet,
    full_log: LogThrottle,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooManyConnections {
    /// For anybody.
    Node,
    /// For one more of this client.
    Client,
}

impl From<TooManyConnections> for Error {
    fn from(full: TooManyConnections) -> Self {
        match full {
            TooManyConnections::Node => Self::Unavailable,
            TooManyConnections::Client => Self::TooManyConnections,
        }
    }
}

impl ConnectionLimiter {
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

    /// A place for a new connection.
    pub(super) fn try_acquire(
        &self,
        peer: IpAddr,
    ) -> Result<Arc<ConnectionPermit>, TooManyConnections> {
        let Ok(place) = self.permits.clone().try_acquire_owned() else {
            if let Some(unheard) = self.full_log.allow() {
                tracing::warn!(unheard, "there are as many connections as there may be");
            }
            return Err(TooManyConnections::Node);
        };
        let guest = ConnectionPermit {
            clients: self.clients.clone(),
            client_permit: Mutex::default(),
            _permit: place,
        };
        if !self.trusted_proxies.contains(peer) {
            guest.assign_client(peer.into())?;
        }
        Ok(Arc::new(guest))
    }
}

struct ClientCounts {
    /// Connections of each client.
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
        let mut shares = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !shares.try_add(network, self.max_per_client) {
            drop(shares);
            if let Some(unheard) = self.full_log.allow() {
                tracing::warn!(
                    %network,
                    unheard,
                    "a client has as many connections as it may have; \
                     if it is a proxy, settings.door.trusted_proxies must list it"
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

/// One connection of a client, until it is dropped.
struct ClientPermit {
    clients: Arc<ClientCounts>,
    network: IpNet,
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let shares = self.clients.counts.lock();
        let mut shares = shares.unwrap_or_else(PoisonError::into_inner);
        shares.remove(self.network);
    }
}

/// What a connection takes up while it lasts.
pub(super) struct ConnectionPermit {
    clients: Arc<ClientCounts>,
    client_permit: Mutex<Option<ClientPermit>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    /// From now on it counts for this client.
    fn assign_client(&self, client: ClientAddress) -> Result<(), TooManyConnections> {
        let mut share = self
            .client_permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if share
            .as_ref()
            .is_some_and(|share| share.network == client.network())
        {
            return Ok(());
        }
        // First, so that nobody stands in the way of itself.
        *share = None;
        *share = Some(self.clients.try_add(client)?);
        Ok(())
    }

    fn clear_client(&self) {
        *self
            .client_permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Answers those for whom there is no place.
pub(super) async fn enforce(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if let Some(full) = request.extensions().get::<TooManyConnections>() {
        return Err((*full).into());
    }
    let settings = Settings::from_context(&ctx)?;
    // Without the accept loop, as in the framework's own tests, nobody counts.
    if let (Some(guest), Ok(client)) = (request.extensions().get::<Arc<ConnectionPermit>>(), client)
    {
        if settings.door.trusted_proxies.contains(client.ip()) {
            guest.clear_client();
        } else {
            guest.assign_client(client)?;
        }
    }
    Ok(next.run(request).await)
}
