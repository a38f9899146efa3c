//! The nodes as the balancer and their doors know them.

use super::{
    backend_load::MAX_CONCURRENT_READS, batch_loader::BatchLoader, scenario::BalancingPolicy,
};
use crate::{
    clock::{Nanos, SECOND, micros},
    core_pool::{CorePool, PerSecond},
    parameters::Parameters,
    rng::Rng,
};

/// `door.max_connections`, and what it costs to say that there is no place (guess).
const MAX_CONNECTIONS: u64 = 100_000;
const REJECT_US: f64 = 20.0;

/// `limits.sockets_per_minute`: at once, and one more after each such time.
const CONNECTION_BURST: u64 = 500;
const CONNECTION_INTERVAL: Nanos = 60 * SECOND / CONNECTION_BURST;

pub struct SimulatedNode {
    pub cores: CorePool,
    /// Those of its sockets that read logs.
    pub readers: CorePool,
    pub session_loader: BatchLoader,
    pub member_loader: BatchLoader,
    pub count_loader: BatchLoader,
    pub arrivals: PerSecond,
    sockets: u64,
    pub most_sockets: u64,
    is_accepting: bool,
    /// When each network has all of its burst again.
    networks: Vec<Nanos>,
}

pub struct Nodes {
    nodes: Vec<SimulatedNode>,
    per_network: usize,
}

impl Nodes {
    pub fn new(figures: &Parameters) -> Self {
        let per_network = figures.per_network.max(1);
        // One alone behind its address never comes so often.
        let networks = if per_network == 1 {
            0
        } else {
            figures.all_sockets() / u64::from(per_network) + 1
        };
        let node = |_| SimulatedNode {
            cores: CorePool::new(figures.cores),
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
            nodes: (0..figures.nodes).map(node).collect(),
            per_network: usize::try_from(per_network).unwrap_or(1),
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn all(&self) -> impl Iterator<Item = &SimulatedNode> {
        self.nodes.iter()
    }

    pub fn get_mut(&mut self, node: usize) -> Option<&mut SimulatedNode> {
        self.nodes.get_mut(node)
    }

    /// Gives a new connection to one of those that take any.
    pub fn assign(&mut self, balance: BalancingPolicy, chance: &mut Rng) -> Option<usize> {
        let taking = || {
            self.nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.is_accepting)
        };
        let chosen = match balance {
            BalancingPolicy::Random => taking().nth(random_index(taking().count(), chance)),
            BalancingPolicy::FewestSockets => taking().min_by_key(|(_, node)| node.sockets),
        };
        let chosen = chosen.map(|(number, _)| number)?;
        self.nodes.get_mut(chosen)?.sockets += 1;
        Some(chosen)
    }

    /// Lets a client in, unless too many are there or too many came from its network of late.
    pub fn admit(&mut self, node: usize, client: usize, now: Nanos) -> Option<&mut SimulatedNode> {
        let network = client / self.per_network;
        let node = self.nodes.get_mut(node).filter(|node| node.is_accepting)?;
        node.arrivals.add(now, 1);
        node.most_sockets = node.most_sockets.max(node.sockets);
        let is_full = node.sockets > MAX_CONNECTIONS;
        let is_fast = node.networks.get_mut(network).is_some_and(|full_at| {
            let next = (*full_at).max(now) + CONNECTION_INTERVAL;
            let is_fast = next > now + CONNECTION_BURST * CONNECTION_INTERVAL;
            if !is_fast {
                *full_at = next;
            }
            is_fast
        });
        if is_full || is_fast {
            node.cores.run(now, micros(REJECT_US));
            return None;
        }
        Some(node)
    }

    pub fn leave(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.sockets = node.sockets.saturating_sub(1);
        }
    }

    pub fn is_accepting(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.is_accepting)
    }

    pub fn stop(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_accepting = false;
        }
    }

    pub fn start(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_accepting = true;
        }
    }
}

fn random_index(count: usize, chance: &mut Rng) -> usize {
    usize::try_from(chance.below(count as u64)).unwrap_or(0)
}
