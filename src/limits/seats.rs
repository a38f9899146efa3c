//! How many sockets one user, and one network, may have at once on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::network_counts::{NetworkCounts, count, subtract};

/// The sockets and streams of this node. Clones share it.
#[derive(Clone)]
pub struct Seats(Arc<House>);

struct House {
    per_user: u32,
    per_network: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    users: HashMap<i64, u32>,
    networks: NetworkCounts,
}

/// One socket's, which is free again when this is dropped, served or not.
pub struct Seat {
    house: Arc<House>,
    user_id: i64,
    network: IpNet,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("the user has too many sockets")]
    User,
    #[error("the network has too many sockets")]
    Network,
}

impl Seats {
    #[must_use]
    pub fn new(per_user: u32, per_network: u32) -> Self {
        Self(Arc::new(House {
            per_user,
            per_network,
            taken: Mutex::default(),
        }))
    }

    /// # Errors
    /// [`Full`], and nothing is taken.
    pub fn take(&self, user_id: i64, network: IpNet) -> Result<Seat, Full> {
        let house = self.0.clone();
        let mut taken = house.taken();
        if taken.networks.is_full(network, house.per_network) {
            return Err(Full::Network);
        }
        if count(&taken.users, &user_id) >= house.per_user {
            return Err(Full::User);
        }
        *taken.users.entry(user_id).or_default() += 1;
        taken.networks.add(network, house.per_network);
        drop(taken);
        Ok(Seat {
            house,
            user_id,
            network,
        })
    }
}

impl House {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.house.taken();
        subtract(&mut taken.users, &self.user_id);
        taken.networks.remove(self.network);
    }
}
