//! A queue by rank, in which the clients of a rank take turns, so that a flood from one client delays only that client.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items by rank and client. Rank 0 is the first of `RANKS` ranks.
pub struct FairQueue<K, T, const RANKS: usize>([TurnQueue<K, T>; RANKS]);

/// The items of one rank. Each client has a queue of its own, and the clients take turns.
struct TurnQueue<K, T> {
    items: HashMap<K, VecDeque<T>>,
    /// The clients with items, in the order of their turns.
    turns: VecDeque<K>,
    len: usize,
}

impl<K, T, const RANKS: usize> Default for FairQueue<K, T, RANKS> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| TurnQueue {
            items: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }))
    }
}

impl<K: Copy + Eq + Hash, T, const RANKS: usize> FairQueue<K, T, RANKS> {
    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|rank| rank.len).sum()
    }

    /// `true` if the queue has no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an item behind the other items of the same rank and client. A rank that does not exist takes no item.
    pub fn push(&mut self, rank: usize, client: K, item: T) {
        if let Some(queue) = self.0.get_mut(rank) {
            queue.push(client, item);
        }
    }

    /// Removes the next item of the first rank that has one.
    pub fn pop(&mut self) -> Option<T> {
        self.0.iter_mut().find_map(TurnQueue::pop)
    }

    /// Removes the next item of the last rank that has one.
    pub fn pop_last_rank(&mut self) -> Option<T> {
        self.0.iter_mut().rev().find_map(TurnQueue::pop)
    }

    /// `true` if [`FairQueue::evict_for`] would remove an item.
    #[must_use]
    pub fn can_evict_for(&self, rank: usize, client: K) -> bool {
        self.find_evictable(rank, client).is_some()
    }

    /// Removes an item, so that a full queue has room for an item of this rank and client.
    ///
    /// The removed item has a later rank, or its client has at least two more items of the rank than `client`. It is
    /// the newest item of the client that has the most.
    pub fn evict_for(&mut self, rank: usize, client: K) -> Option<T> {
        let (rank, client) = self.find_evictable(rank, client)?;
        self.0.get_mut(rank)?.pop_newest_of(client)
    }

    fn find_evictable(&self, rank: usize, client: K) -> Option<(usize, K)> {
        self.0.iter().enumerate().rev().find_map(|(other, queue)| {
            let (busiest, most) = queue.busiest_client()?;
            let is_greedier = other == rank && most > queue.count_of(client) + 1;
            (other > rank || is_greedier).then_some((other, busiest))
        })
    }
}

impl<K: Copy + Eq + Hash, T> TurnQueue<K, T> {
    fn push(&mut self, client: K, item: T) {
        let items = self.items.entry(client).or_default();
        if items.is_empty() {
            self.turns.push_back(client);
        }
        items.push_back(item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let client = self.turns.pop_front()?;
        let items = self.items.get_mut(&client)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.items.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    fn count_of(&self, client: K) -> usize {
        self.items.get(&client).map_or(0, VecDeque::len)
    }

    fn busiest_client(&self) -> Option<(K, usize)> {
        let counts = self.items.iter();
        let counts = counts.map(|(client, items)| (*client, items.len()));
        counts.max_by_key(|(_, count)| *count)
    }

    fn pop_newest_of(&mut self, client: K) -> Option<T> {
        let items = self.items.get_mut(&client)?;
        let item = items.pop_back();
        if items.is_empty() {
            self.items.remove(&client);
            self.turns.retain(|turn| *turn != client);
        }
        self.len -= usize::from(item.is_some());
        item
    }
}
