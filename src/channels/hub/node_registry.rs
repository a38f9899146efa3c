//! Which other nodes there are: those that were heard of lately.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The other nodes, as far as this one has heard of them.
pub(super) struct NodeRegistry {
    /// How long a node is there without being heard of.
    lease: Duration,
    nodes: Mutex<HashMap<Arc<str>, NodeEntry>>,
}

struct NodeEntry {
    expires_at: Instant,
    /// It did not answer when it was asked, and is not waited for until it is heard of again.
    is_unresponsive: bool,
    /// It has said goodbye, and does not come back under this name.
    has_left: bool,
}

impl NodeRegistry {
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            nodes: Mutex::default(),
        }
    }

    /// A node was heard of. Says whether it was not there before.
    pub fn mark_seen(&self, node: &Arc<str>) -> bool {
        let mut nodes = self.nodes();
        let known = nodes.get(node);
        if known.is_some_and(|known| known.has_left) {
            return false;
        }
        let node_now = NodeEntry {
            expires_at: Instant::now() + self.lease,
            is_unresponsive: false,
            has_left: false,
        };
        nodes.insert(node.clone(), node_now).is_none()
    }

    /// Whether it was heard of lately.
    pub fn contains(&self, node: &str) -> bool {
        self.nodes().contains_key(node)
    }

    /// A node says goodbye: its people have this long to come back elsewhere.
    pub fn mark_left(&self, node: &str, grace: Duration) {
        if let Some(node) = self.nodes().get_mut(node) {
            node.expires_at = node.expires_at.min(Instant::now() + grace);
            node.is_unresponsive = true;
            node.has_left = true;
        }
    }

    /// Nodes of which an answer can be expected.
    pub fn responsive(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes();
        let answering = nodes.iter().filter(|(_, node)| !node.is_unresponsive);
        answering.map(|(name, _)| name.clone()).collect()
    }

    /// These have not answered.
    pub fn mark_unresponsive(&self, silent: &HashSet<Arc<str>>) {
        let mut nodes = self.nodes();
        for name in silent {
            if let Some(node) = nodes.get_mut(name) {
                node.is_unresponsive = true;
            }
        }
    }

    /// Takes those of which nothing was heard for too long.
    pub fn take_expired(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut nodes = self.nodes();
        let lost = nodes.extract_if(|_, node| node.expires_at <= now);
        lost.map(|(name, _)| name).collect()
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Arc<str>, NodeEntry>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
