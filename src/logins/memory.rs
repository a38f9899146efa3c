//! The counts that this node has seen itself, as many as it has room for.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

use tokio::time::Instant;

use super::{Count, Id, KNOWN_FOR, Kind};
use crate::limits::TooFast;

/// Accounts, and networks of accounts, that are remembered: 6 MB of each.
const ROOM: usize = 100_000;

#[derive(Default)]
pub(super) struct Memory {
    accounts: HashMap<Id, Count>,
    networks: HashMap<Id, Known>,
}

/// A network from which somebody has logged in to an account.
struct Known {
    until: Instant,
    count: Count,
}

impl Memory {
    pub fn attempt(&mut self, account: &Id, network: &Id, now: Instant) -> Result<Kind, TooFast> {
        if let Entry::Occupied(mut known) = self.networks.entry(*network) {
            if known.get().until > now {
                known.get_mut().count.attempt(now)?;
                return Ok(Kind::Network);
            }
            known.remove();
        }
        self.account(*account, now).attempt(now)?;
        Ok(Kind::Account)
    }

    /// What others know of a count.
    pub fn note(&mut self, kind: Kind, id: &Id, count: Count) {
        match kind {
            Kind::Account => *self.account(*id, count.at) = count,
            Kind::Network => match self.networks.get_mut(id) {
                Some(known) => known.count = count,
                None => self.know(*id, count),
            },
        }
    }

    pub fn succeeded(&mut self, kind: Kind, account: &Id, network: Id, now: Instant) {
        if kind == Kind::Account {
            self.accounts.remove(account);
        }
        self.know(network, Count::new(now));
    }

    pub fn undo(&mut self, kind: Kind, account: &Id, network: &Id) {
        let count = match kind {
            Kind::Account => self.accounts.get_mut(account),
            Kind::Network => self.networks.get_mut(network).map(|known| &mut known.count),
        };
        if let Some(count) = count {
            count.undo();
        }
    }

    fn account(&mut self, account: Id, now: Instant) -> &mut Count {
        if !self.accounts.contains_key(&account) {
            make_room(
                &mut self.accounts,
                |count| !count.is_forgotten(now),
                |count| (count.failures, count.at),
            );
        }
        let count = self.accounts.entry(account);
        count.or_insert_with(|| Count::new(now))
    }

    fn know(&mut self, network: Id, count: Count) {
        let now = count.at;
        if !self.networks.contains_key(&network) {
            make_room(
                &mut self.networks,
                |known| known.until > now,
                |known| known.until,
            );
        }
        let until = now + KNOWN_FOR;
        self.networks.insert(network, Known { until, count });
    }
}

/// Where there is no room, forgets what is over, and if that is not much, the half that matters
/// least.
fn make_room<K: Eq + Hash, V, W: Copy + Ord>(
    kept: &mut HashMap<K, V>,
    is_live: impl Fn(&V) -> bool,
    weight: impl Fn(&V) -> W,
) {
    if kept.len() < ROOM {
        return;
    }
    kept.retain(|_, value| is_live(value));
    if kept.len() < ROOM / 2 {
        return;
    }
    tracing::warn!("more logins fail than are remembered");
    let mut weights: Vec<W> = kept.values().map(&weight).collect();
    let middle = weights.len() / 2;
    let (_, least, _) = weights.select_nth_unstable(middle);
    let least = *least;
    kept.retain(|_, value| weight(value) > least);
}
