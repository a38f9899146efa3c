//! The limit of sockets and event streams that one user, and one network, may have open on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::network_counts::{NetworkCounts, count_of, decrement};

/// Counts the sockets and streams of this node. Clones share the counts.
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

/// The permit of one socket. It counts the socket until it is dropped.
pub struct SocketPermit {
    limiter: Arc<SocketLimiterInner>,
    user_id: i64,
    network: IpNet,
}

/// The reason why a socket may not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManySockets {
    #[error("the user has too many sockets")]
    User,
    #[error("the network has too many sockets")]
    Network,
}

impl SocketLimiter {
    #[must_use]
    pub fn new(max_per_user: u32, max_per_network: u32) -> Self {
        Self(Arc::new(SocketLimiterInner {
            max_per_user,
            max_per_network,
            counts: Mutex::default(),
        }))
    }

    /// Returns a permit for a new socket.
    ///
    /// # Errors
    /// [`TooManySockets`] when the network or the user has reached its limit.
    pub fn try_acquire(
        &self,
        user_id: i64,
        network: IpNet,
    ) -> Result<SocketPermit, TooManySockets> {
        let limiter = self.0.clone();
        let mut counts = limiter.lock_counts();
        if counts.networks.is_full(network, limiter.max_per_network) {
            return Err(TooManySockets::Network);
        }
        if count_of(&counts.users, &user_id) >= limiter.max_per_user {
            return Err(TooManySockets::User);
        }
        *counts.users.entry(user_id).or_default() += 1;
        counts.networks.try_add(network, limiter.max_per_network);
        drop(counts);
        Ok(SocketPermit {
            limiter,
            user_id,
            network,
        })
    }
}

impl SocketLimiterInner {
    fn lock_counts(&self) -> MutexGuard<'_, SocketCounts> {
        // A panic elsewhere leaves the counts as they were between two calls.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.lock_counts();
        decrement(&mut counts.users, &self.user_id);
        counts.networks.remove(self.network);
    }
}
