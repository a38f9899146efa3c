//! The nodes as the balancer and their doors know them.

use super::{costs::READERS, plan::Balance, together::Together};
use crate::{
    chance::Chance,
    clock::{Nanos, SECOND, micros},
    figures::Figures,
    station::{PerSecond, Station},
};

/// `door.max_connections`, and what it costs to say that there is no place (guess).
const MOST_CONNECTIONS: u64 = 100_000;
const REFUSE_US: f64 = 20.0;

/// `limits.sockets_per_minute`: at once, and one more after each such time.
const BURST: u64 = 500;
const ONE_EACH: Nanos = 60 * SECOND / BURST;

pub struct Node {
    pub cores: Station,
    /// Those of its sockets that read logs.
    pub readers: Station,
    pub sessions: Together,
    pub members: Together,
    pub counts: Together,
    pub arrivals: PerSecond,
    sockets: u64,
    pub most_sockets: u64,
    is_taking: bool,
    /// When each network has all of its burst again.
    networks: Vec<Nanos>,
}

pub struct Nodes {
    nodes: Vec<Node>,
    per_network: usize,
}

impl Nodes {
    pub fn new(figures: &Figures) -> Self {
        let per_network = figures.per_network.max(1);
        // One alone behind its address never comes so often.
        let networks = if per_network == 1 {
            0
        } else {
            figures.all_sockets() / u64::from(per_network) + 1
        };
        let node = |_| Node {
            cores: Station::new(figures.cores),
            readers: Station::new(READERS),
            sessions: Together::default(),
            members: Together::default(),
            counts: Together::default(),
            arrivals: PerSecond::default(),
            sockets: 0,
            most_sockets: 0,
            is_taking: true,
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

    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub fn get_mut(&mut self, node: usize) -> Option<&mut Node> {
        self.nodes.get_mut(node)
    }

    /// Gives a new connection to one of those that take any.
    pub fn choose(&mut self, balance: Balance, chance: &mut Chance) -> Option<usize> {
        let taking = || {
            self.nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.is_taking)
        };
        let chosen = match balance {
            Balance::Random => taking().nth(pick(taking().count(), chance)),
            Balance::FewestSockets => taking().min_by_key(|(_, node)| node.sockets),
        };
        let chosen = chosen.map(|(number, _)| number)?;
        self.nodes.get_mut(chosen)?.sockets += 1;
        Some(chosen)
    }

    /// Lets a client in, unless too many are there or too many came from its network of late.
    pub fn admit(&mut self, node: usize, client: usize, now: Nanos) -> Option<&mut Node> {
        let network = client / self.per_network;
        let node = self.nodes.get_mut(node).filter(|node| node.is_taking)?;
        node.arrivals.add(now, 1);
        node.most_sockets = node.most_sockets.max(node.sockets);
        let is_full = node.sockets > MOST_CONNECTIONS;
        let is_fast = node.networks.get_mut(network).is_some_and(|full_at| {
            let next = (*full_at).max(now) + ONE_EACH;
            let is_fast = next > now + BURST * ONE_EACH;
            if !is_fast {
                *full_at = next;
            }
            is_fast
        });
        if is_full || is_fast {
            node.cores.take(now, micros(REFUSE_US));
            return None;
        }
        Some(node)
    }

    pub fn leave(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.sockets = node.sockets.saturating_sub(1);
        }
    }

    pub fn is_taking(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.is_taking)
    }

    pub fn stop(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_taking = false;
        }
    }

    pub fn start(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_taking = true;
        }
    }
}

fn pick(count: usize, chance: &mut Chance) -> usize {
    usize::try_from(chance.below(count as u64)).unwrap_or(0)
}
