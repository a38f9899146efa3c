//! The other nodes that are alive: those that have sent a message within their lease.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A node whose lease has expired.
pub(super) struct ExpiredNode {
    pub id: Arc<str>,
    /// The name of the node, or its id.
    pub name: String,
    /// `true` if the node has announced its stop.
    pub has_left: bool,
}

/// The other nodes from which this node has received messages.
pub(super) struct Cluster {
    /// The time for which a node counts as alive after its last message.
    lease: Duration,
    nodes: Mutex<HashMap<Arc<str>, PeerNode>>,
}

struct PeerNode {
    expires_at: Instant,
    /// The name of the node for the log, once the node has sent its name.
    name: Option<Box<str>>,
    /// `true` if the node did not answer a query, or has left. No socket waits for an answer of this node. The next
    /// message of the node clears the mark, unless the node has left.
    is_unresponsive: bool,
    /// `true` if the node has announced its stop. A restarted node has another id.
    has_left: bool,
}

impl Cluster {
    /// A cluster in which no other node is known yet.
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            nodes: Mutex::default(),
        }
    }

    /// The time for which a node counts as alive after its last message.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Renews the lease of a node, unless the node has left. Returns `true` if the node was unknown.
    pub fn mark_seen(&self, node: &Arc<str>) -> bool {
        let mut nodes = self.nodes();
        let expires_at = Instant::now() + self.lease;
        if let Some(known) = nodes.get_mut(node) {
            if !known.has_left {
                known.expires_at = expires_at;
                known.is_unresponsive = false;
            }
            return false;
        }
        let new = PeerNode {
            expires_at,
            name: None,
            is_unresponsive: false,
            has_left: false,
        };
        nodes.insert(node.clone(), new);
        true
    }

    /// Sets the name of a known node. Returns `true` if the node had no name before.
    pub fn set_name(&self, node: &str, name: &str) -> bool {
        let mut nodes = self.nodes();
        let unnamed = nodes.get_mut(node).filter(|node| node.name.is_none());
        unnamed.map(|node| node.name = Some(name.into())).is_some()
    }

    /// Returns `true` if the node is alive.
    pub fn contains(&self, node: &str) -> bool {
        self.nodes().contains_key(node)
    }

    /// The number of nodes that are alive.
    pub fn alive_count(&self) -> usize {
        self.nodes().values().filter(|node| !node.has_left).count()
    }

    /// Marks a node as stopping. Its users have `grace` to reconnect to other nodes.
    pub fn mark_left(&self, node: &str, grace: Duration) {
        if let Some(node) = self.nodes().get_mut(node) {
            node.expires_at = node.expires_at.min(Instant::now() + grace);
            node.is_unresponsive = true;
            node.has_left = true;
        }
    }

    /// The nodes that can be expected to answer a query.
    pub fn responsive(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes();
        let responsive = nodes.iter().filter(|(_, node)| !node.is_unresponsive);
        responsive.map(|(id, _)| id.clone()).collect()
    }

    /// Marks nodes that have not answered a query.
    pub fn mark_unresponsive(&self, silent: &HashSet<Arc<str>>) {
        let mut nodes = self.nodes();
        for id in silent {
            if let Some(node) = nodes.get_mut(id) {
                node.is_unresponsive = true;
            }
        }
    }

    /// Removes and returns the nodes whose lease has expired.
    pub fn take_expired(&self) -> Vec<ExpiredNode> {
        let now = Instant::now();
        let mut nodes = self.nodes();
        let expired = nodes.extract_if(|_, node| node.expires_at <= now);
        let expired = expired.map(|(id, node)| ExpiredNode {
            name: node.name.as_deref().unwrap_or(&id).to_owned(),
            has_left: node.has_left,
            id,
        });
        expired.collect()
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Arc<str>, PeerNode>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
