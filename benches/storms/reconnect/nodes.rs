//! The simulated nodes, with their limits of connections.

use super::{
    backend_load::MAX_CONCURRENT_READS, batch_loader::BatchLoader, scenario::BalancingPolicy,
};
use crate::{
    clock::{Nanos, SECOND, micros},
    core_pool::{CorePool, PerSecond},
    parameters::Parameters,
    rng::Rng,
};

/// The limit of connections of a node: `door.max_connections`.
const MAX_CONNECTIONS: u64 = 100_000;
/// CPU µs to reject a connection (guess).
const REJECT_US: f64 = 20.0;

/// The connections that a network may open at once: `limits.sockets_per_minute`.
const CONNECTION_BURST: u64 = 500;
/// The interval after which a network may open one more connection.
const CONNECTION_INTERVAL: Nanos = 60 * SECOND / CONNECTION_BURST;

/// A simulated node.
pub struct SimulatedNode {
    /// The cores of the node.
    pub cores: CorePool,
    /// The turns of sockets to read logs.
    pub readers: CorePool,
    /// The loader of sessions.
    pub session_loader: BatchLoader,
    /// The loader of memberships.
    pub member_loader: BatchLoader,
    /// The loader of member counts.
    pub count_loader: BatchLoader,
    /// The connections of each second.
    pub arrivals: PerSecond,
    sockets: u64,
    /// The largest number of sockets so far.
    pub most_sockets: u64,
    is_accepting: bool,
    /// The time at which each network has its whole burst again.
    networks: Vec<Nanos>,
}

/// All nodes.
pub struct Nodes {
    nodes: Vec<SimulatedNode>,
    per_network: usize,
}

impl Nodes {
    /// Creates nodes that accept connections.
    pub fn new(parameters: &Parameters) -> Self {
        let per_network = parameters.per_network.max(1);
        // A client alone in its network never reaches this limit, so the networks need no state.
        let networks = if per_network == 1 {
            0
        } else {
            parameters.all_sockets() / u64::from(per_network) + 1
        };
        let node = |_| SimulatedNode {
            cores: CorePool::new(parameters.cores),
            readers: CorePool::new(MAX_CONCURRENT_READS),
            session_loader: BatchLoader::default(),
            member_loader: BatchLoader::default(),
            count_loader: BatchLoader::default(),
            arrivals: PerSecond::default(),
            sockets: 0,
            most_sockets: 0,
            is_accepting: true,
            networks: vec![0; usize::try_from(networks).unwrap_or(0)],
        };
        Self {
            nodes: (0..parameters.nodes).map(node).collect(),
            per_network: usize::try_from(per_network).unwrap_or(1),
        }
    }

    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns all nodes.
    pub fn all(&self) -> impl Iterator<Item = &SimulatedNode> {
        self.nodes.iter()
    }

    /// Returns a node.
    pub fn get_mut(&mut self, node: usize) -> Option<&mut SimulatedNode> {
        self.nodes.get_mut(node)
    }

    /// Assigns a new connection to a node that accepts connections. Returns `None` if there is
    /// none.
    pub fn assign(&mut self, policy: BalancingPolicy, rng: &mut Rng) -> Option<usize> {
        let accepting = || {
            self.nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.is_accepting)
        };
        let selected = match policy {
            BalancingPolicy::Random => accepting().nth(random_index(accepting().count(), rng)),
            BalancingPolicy::FewestSockets => accepting().min_by_key(|(_, node)| node.sockets),
        };
        let selected = selected.map(|(index, _)| index)?;
        self.nodes.get_mut(selected)?.sockets += 1;
        Some(selected)
    }

    /// Admits a client, unless the node is full or the client's network has opened too many
    /// connections.
    pub fn admit(&mut self, node: usize, client: usize, now: Nanos) -> Option<&mut SimulatedNode> {
        let network = client / self.per_network;
        let node = self.nodes.get_mut(node).filter(|node| node.is_accepting)?;
        node.arrivals.add(now, 1);
        node.most_sockets = node.most_sockets.max(node.sockets);
        let is_full = node.sockets > MAX_CONNECTIONS;
        let is_rate_limited = node.networks.get_mut(network).is_some_and(|full_at| {
            let next = (*full_at).max(now) + CONNECTION_INTERVAL;
            let is_above_limit = next > now + CONNECTION_BURST * CONNECTION_INTERVAL;
            if !is_above_limit {
                *full_at = next;
            }
            is_above_limit
        });
        if is_full || is_rate_limited {
            node.cores.run(now, micros(REJECT_US));
            return None;
        }
        Some(node)
    }

    /// Removes a socket from a node.
    pub fn leave(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.sockets = node.sockets.saturating_sub(1);
        }
    }

    /// Returns `true` if a node accepts connections.
    pub fn is_accepting(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.is_accepting)
    }

    /// Stops a node: it accepts no connections.
    pub fn stop(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_accepting = false;
        }
    }

    /// Starts a node: it accepts connections.
    pub fn start(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_accepting = true;
        }
    }
}

fn random_index(count: usize, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or(0)
}
