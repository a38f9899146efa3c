//! A queue in which clients take turns, so that a flood from one client delays only that client.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items by their clients. Each client has a queue of its own, and the clients take turns.
pub struct FairQueue<K, T> {
    items: HashMap<K, VecDeque<T>>,
    /// The clients with items, in the order of their turns.
    turns: VecDeque<K>,
    len: usize,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    /// The number of items of all clients.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// `true` if no client has an item.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item of a client behind the client's other items.
    pub fn push(&mut self, client: K, item: T) {
        let items = self.items.entry(client).or_default();
        if items.is_empty() {
            self.turns.push_back(client);
        }
        items.push_back(item);
        self.len += 1;
    }

    /// Removes the oldest item of the client whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
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

    /// The number of items of a client.
    pub fn count_of(&self, client: &K) -> usize {
        self.items.get(client).map_or(0, VecDeque::len)
    }

    /// Returns the client with the most items, and their number.
    #[must_use]
    pub fn busiest_client(&self) -> Option<(K, usize)> {
        let counts = self.items.iter();
        let counts = counts.map(|(client, items)| (*client, items.len()));
        counts.max_by_key(|(_, count)| *count)
    }

    /// Removes the newest item of a client.
    pub fn pop_newest_of(&mut self, client: &K) -> Option<T> {
        let items = self.items.get_mut(client)?;
        let item = items.pop_back();
        if items.is_empty() {
            self.items.remove(client);
            self.turns.retain(|turn| turn != client);
        }
        self.len -= usize::from(item.is_some());
        item
    }
}
