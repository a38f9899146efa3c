//! The failure counts that this node keeps in memory. It uses them while Redis is unreachable.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

use tokio::time::Instant;

use super::{CountScope, FailureCount, HashedKey, KNOWN_NETWORK_TTL};
use crate::limits::RateLimited;

/// The largest number of accounts, and of networks of accounts: 6 MB of each.
const CAPACITY: usize = 100_000;

#[derive(Default)]
pub(super) struct LocalStore {
    accounts: HashMap<HashedKey, FailureCount>,
    networks: HashMap<HashedKey, KnownNetwork>,
}

/// A network from which a login to an account succeeded.
struct KnownNetwork {
    known_until: Instant,
    count: FailureCount,
}

impl LocalStore {
    /// Counts an attempt as failed. Returns the scope of the count.
    ///
    /// # Errors
    /// [`RateLimited`] when the attempt must wait. Then it does not count.
    pub fn record_attempt(
        &mut self,
        account: &HashedKey,
        network: &HashedKey,
        now: Instant,
    ) -> Result<CountScope, RateLimited> {
        if let Entry::Occupied(mut known) = self.networks.entry(*network) {
            if known.get().known_until > now {
                known.get_mut().count.record_attempt(now)?;
                return Ok(CountScope::Network);
            }
            known.remove();
        }
        self.account_count(*account, now).record_attempt(now)?;
        Ok(CountScope::Account)
    }

    /// Stores a count that Redis returned.
    pub fn set_count(&mut self, scope: CountScope, id: &HashedKey, count: FailureCount) {
        match scope {
            CountScope::Account => *self.account_count(*id, count.last_failure_at) = count,
            CountScope::Network => match self.networks.get_mut(id) {
                Some(known) => known.count = count,
                None => self.remember_network(*id, count),
            },
        }
    }

    /// Resets the count of a successful attempt, and remembers its network as known.
    pub fn record_success(
        &mut self,
        scope: CountScope,
        account: &HashedKey,
        network: HashedKey,
        now: Instant,
    ) {
        if scope == CountScope::Account {
            self.accounts.remove(account);
        }
        self.remember_network(network, FailureCount::new(now));
    }

    /// Takes back an attempt whose password was not checked.
    pub fn undo(&mut self, scope: CountScope, account: &HashedKey, network: &HashedKey) {
        let count = match scope {
            CountScope::Account => self.accounts.get_mut(account),
            CountScope::Network => self.networks.get_mut(network).map(|known| &mut known.count),
        };
        if let Some(count) = count {
            count.undo();
        }
    }

    fn account_count(&mut self, account: HashedKey, now: Instant) -> &mut FailureCount {
        if !self.accounts.contains_key(&account) {
            evict_if_full(
                &mut self.accounts,
                |count| !count.is_expired(now),
                |count| (count.failures, count.last_failure_at),
            );
        }
        let count = self.accounts.entry(account);
        count.or_insert_with(|| FailureCount::new(now))
    }

    fn remember_network(&mut self, network: HashedKey, count: FailureCount) {
        let now = count.last_failure_at;
        if !self.networks.contains_key(&network) {
            evict_if_full(
                &mut self.networks,
                |known| known.known_until > now,
                |known| known.known_until,
            );
        }
        let until = now + KNOWN_NETWORK_TTL;
        self.networks.insert(
            network,
            KnownNetwork {
                known_until: until,
                count,
            },
        );
    }
}

/// Makes room in a full map: removes the entries that no longer count and, if these are few, the half of the
/// entries with the least weight.
fn evict_if_full<K: Eq + Hash, V, W: Copy + Ord>(
    kept: &mut HashMap<K, V>,
    is_live: impl Fn(&V) -> bool,
    weight: impl Fn(&V) -> W,
) {
    if kept.len() < CAPACITY {
        return;
    }
    kept.retain(|_, value| is_live(value));
    if kept.len() < CAPACITY / 2 {
        return;
    }
    tracing::warn!("login throttle full: half of the failure counts are dropped");
    let mut weights: Vec<W> = kept.values().map(&weight).collect();
    let middle = weights.len() / 2;
    let (_, least, _) = weights.select_nth_unstable(middle);
    let least = *least;
    kept.retain(|_, value| weight(value) > least);
}
