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
    settings::{DoorSettings, Networks, Settings},
};

/// Counts connections.
///
/// One from a listed proxy counts for the client whose request it carried last, any other for its
/// peer. A proxy itself may have as many as it wants.
pub(super) struct Door {
    places: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    trusted: Networks,
    full: LogThrottle,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// For anybody.
    Everybody,
    /// For one more of this client.
    Client,
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        match full {
            Full::Everybody => Self::Unavailable,
            Full::Client => Self::TooManyConnections,
        }
    }
}

impl Door {
    pub(super) fn new(settings: &DoorSettings, max_connections: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(max_connections)),
            crowd: Arc::new(Crowd {
                shares: Mutex::default(),
                limit: settings.connections_per_address,
                full: LogThrottle::default(),
            }),
            trusted: settings.trusted_proxies.clone(),
            full: LogThrottle::default(),
        }
    }

    /// A place for a new connection.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Arc<Guest>, Full> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            if let Some(unheard) = self.full.permit() {
                tracing::warn!(unheard, "there are as many connections as there may be");
            }
            return Err(Full::Everybody);
        };
        let guest = Guest {
            crowd: self.crowd.clone(),
            share: Mutex::default(),
            _place: place,
        };
        if !self.trusted.contains(peer) {
            guest.stand_for(peer.into())?;
        }
        Ok(Arc::new(guest))
    }
}

struct Crowd {
    /// Connections of each client.
    shares: Mutex<NetworkCounts>,
    limit: u32,
    full: LogThrottle,
}

impl Crowd {
    fn join(self: &Arc<Self>, client: ClientAddress) -> Result<Share, Full> {
        let network = client.network();
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if !shares.add(network, self.limit) {
            drop(shares);
            if let Some(unheard) = self.full.permit() {
                tracing::warn!(
                    %network,
                    unheard,
                    "a client has as many connections as it may have; \
                     if it is a proxy, settings.door.trusted_proxies must list it"
                );
            }
            return Err(Full::Client);
        }
        Ok(Share {
            crowd: self.clone(),
            network,
        })
    }
}

/// One connection of a client, until it is dropped.
struct Share {
    crowd: Arc<Crowd>,
    network: IpNet,
}

impl Drop for Share {
    fn drop(&mut self) {
        let shares = self.crowd.shares.lock();
        let mut shares = shares.unwrap_or_else(PoisonError::into_inner);
        shares.remove(self.network);
    }
}

/// What a connection takes up while it lasts.
pub(super) struct Guest {
    crowd: Arc<Crowd>,
    share: Mutex<Option<Share>>,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    /// From now on it counts for this client.
    fn stand_for(&self, client: ClientAddress) -> Result<(), Full> {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        if share
            .as_ref()
            .is_some_and(|share| share.network == client.network())
        {
            return Ok(());
        }
        // First, so that nobody stands in the way of itself.
        *share = None;
        *share = Some(self.crowd.join(client)?);
        Ok(())
    }

    fn stand_for_nobody(&self) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Answers those for whom there is no place.
pub(super) async fn turn_away(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if let Some(full) = request.extensions().get::<Full>() {
        return Err((*full).into());
    }
    let settings = Settings::of(&ctx)?;
    // Without the accept loop, as in the framework's own tests, nobody counts.
    if let (Some(guest), Ok(client)) = (request.extensions().get::<Arc<Guest>>(), client) {
        if settings.door.trusted_proxies.contains(client.ip()) {
            guest.stand_for_nobody();
        } else {
            guest.stand_for(client)?;
        }
    }
    Ok(next.run(request).await)
}
