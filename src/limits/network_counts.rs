//! Counts of sockets or connections by network.

use std::{collections::HashMap, hash::Hash};

use ipnet::{IpNet, Ipv6Net};

use super::rate_limiter::{site_limit, site_of};

/// A count for each network, and for each site of IPv6. A network whose count is 0 takes no memory.
#[derive(Default)]
pub struct NetworkCounts {
    networks: HashMap<IpNet, u32>,
    sites: HashMap<Ipv6Net, u32>,
}

impl NetworkCounts {
    /// Adds one for a network. Returns `false`, and adds nothing, if the network has reached `limit` or its site
    /// has reached the limit of a site.
    pub fn try_add(&mut self, network: IpNet, limit: u32) -> bool {
        if self.is_full(network, limit) {
            return false;
        }
        *self.networks.entry(network).or_default() += 1;
        if let Some(site) = site_of(network) {
            *self.sites.entry(site).or_default() += 1;
        }
        true
    }

    /// Returns whether a network, or its site, has reached its limit.
    #[must_use]
    pub fn is_full(&self, network: IpNet, limit: u32) -> bool {
        let is_network_full = count_of(&self.networks, &network) >= limit;
        let is_site_full =
            site_of(network).is_some_and(|site| count_of(&self.sites, &site) >= site_limit(limit));
        is_network_full || is_site_full
    }

    /// Subtracts one that [`NetworkCounts::try_add`] added for a network.
    pub fn remove(&mut self, network: IpNet) {
        decrement(&mut self.networks, &network);
        if let Some(site) = site_of(network) {
            decrement(&mut self.sites, &site);
        }
    }
}

/// Returns the count of a key; 0 for a key without a count.
pub(super) fn count_of<K: Eq + Hash>(counts: &HashMap<K, u32>, key: &K) -> u32 {
    counts.get(key).copied().unwrap_or(0)
}

/// Subtracts one, and removes a key whose count becomes 0.
pub(super) fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
