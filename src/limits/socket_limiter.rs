//! How many sockets one user, and one network, may have at once on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::network_counts::{NetworkCounts, count_of, decrement};

/// The sockets and streams of this node. Clones share it.
#[derive(Clone)]
pub struct SocketLimiter(Arc<SocketLimiterInner>);

struct SocketLimiterInner {
    max_per_user: u32,
    max_per_network: u32,
    counts: Mutex<SocketCounts>,
}

#[derive(Default)]
struct SocketCounts {
    users: HashMap<i64, u32>,
    networks: NetworkCounts,
}

/// One socket's, which is free again when this is dropped, served or not.
pub struct SocketPermit {
    limiter: Arc<SocketLimiterInner>,
    user_id: i64,
    network: IpNet,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManySockets {
    #[error("the user has too many sockets")]
    User,
    #[error("the network has too many sockets")]
    Network,
}

impl SocketLimiter {
    #[must_use]
    pub fn new(per_user: u32, per_network: u32) -> Self {
        Self(Arc::new(SocketLimiterInner {
            max_per_user: per_user,
            max_per_network: per_network,
            counts: Mutex::default(),
        }))
    }

    /// # Errors
    /// [`Full`], and nothing is taken.
    pub fn try_acquire(
        &self,
        user_id: i64,
        network: IpNet,
    ) -> Result<SocketPermit, TooManySockets> {
        let house = self.0.clone();
        let mut taken = house.lock_counts();
        if taken.networks.is_full(network, house.max_per_network) {
            return Err(TooManySockets::Network);
        }
        if count_of(&taken.users, &user_id) >= house.max_per_user {
            return Err(TooManySockets::User);
        }
        *taken.users.entry(user_id).or_default() += 1;
        taken.networks.try_add(network, house.max_per_network);
        drop(taken);
        Ok(SocketPermit {
            limiter: house,
            user_id,
            network,
        })
    }
}

impl SocketLimiterInner {
    fn lock_counts(&self) -> MutexGuard<'_, SocketCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let mut taken = self.limiter.lock_counts();
        decrement(&mut taken.users, &self.user_id);
        taken.networks.remove(self.network);
    }
}
