//! The simulation: the initial state of nodes and clients, the incident, and the queue of events.
//!
//! Ordinary traffic, the work of proxies and queues of the network are not simulated.

use std::iter::repeat_with;

use super::{
    backend_load::BackendLoad,
    client::{INITIAL_BACKOFF, RESTART_BACKOFF, SimulatedClient},
    nodes::Nodes,
    rooms::Rooms,
    scenario::{Incident, Scenario},
    stats::ReconnectStats,
    steps::ClientStep,
};
use crate::{
    clock::{EventQueue, Nanos, SECOND, seconds},
    rng::Rng,
};

/// The longest drain: `MAX_DRAIN_SPREAD` of `src/channels/mod.rs`.
const DRAIN_WITHIN: Nanos = 25 * SECOND;
/// The sockets that a drain closes in a second: `DRAIN_SOCKETS_PER_SECOND` of the same file.
const DRAINED_PER_SECOND: u64 = 400;

/// The time of the incident. Groups have then been active for a while.
const BEGIN_AT: Nanos = SECOND;

/// The end of the simulation. A client that has not reconnected by then will not: there is no
/// capacity, or the storm sustains itself.
const END_AT: Nanos = BEGIN_AT + 600 * SECOND;

/// A simulated event.
pub(super) enum SimulationEvent {
    /// A step of a client, for one of its connections.
    Client(usize, u32, ClientStep),
    /// The drain of a node starts.
    Drain(usize),
    /// A node has restarted.
    Started(usize),
}

/// The state of a simulation.
pub struct ReconnectSimulation<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) queue: EventQueue<SimulationEvent>,
    pub(super) rng: Rng,
    pub(super) clients: Vec<SimulatedClient>,
    pub nodes: Nodes,
    pub(super) rooms: Rooms,
    pub backend: BackendLoad<'a>,
    pub stats: ReconnectStats,
    /// The time at which the balancer is available again.
    pub(super) balancer_back_at: Nanos,
}

impl<'a> ReconnectSimulation<'a> {
    /// Creates a simulation in which all clients are connected.
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let parameters = &scenario.parameters;
        let mut rng = Rng::new(seed);
        let mut nodes = Nodes::new(parameters);
        let mut rooms = Rooms::new(nodes.len(), parameters, seed);
        let new_client = || {
            SimulatedClient::connected_to(nodes.assign(scenario.balancing, &mut rng).unwrap_or(0))
        };
        let count = usize::try_from(parameters.all_sockets()).unwrap_or(0);
        let clients: Vec<_> = repeat_with(new_client).take(count).collect();
        for (index, client) in clients.iter().enumerate() {
            for group in rooms.groups_of(index) {
                rooms.enter(group, client.node, 0);
            }
        }
        Self {
            scenario,
            queue: EventQueue::new(),
            rng,
            clients,
            nodes,
            rooms,
            backend: BackendLoad::new(parameters),
            stats: ReconnectStats::default(),
            balancer_back_at: 0,
        }
    }

    /// Runs the incident and all events until the end.
    pub fn run(&mut self) {
        self.queue.now = BEGIN_AT;
        match self.scenario.incident {
            Incident::NodeDies => self.kill_node(0),
            Incident::BalancerRestarts => {
                self.balancer_back_at = BEGIN_AT + seconds(self.scenario.parameters.balancer_s);
                let all = 0..self.clients.len();
                all.for_each(|client| {
                    self.schedule_client(client, BEGIN_AT, ClientStep::Disconnect(INITIAL_BACKOFF))
                });
            }
            Incident::Deploy => self.queue.schedule(BEGIN_AT, SimulationEvent::Drain(0)),
        }
        while let Some(event) = self.queue.next()
            && self.queue.now < END_AT
        {
            match event {
                SimulationEvent::Client(client, connection, step) => {
                    self.run_step(client, connection, step);
                }
                SimulationEvent::Drain(node) => self.drain_node(node),
                SimulationEvent::Started(node) => self.start_node(node),
            }
        }
        self.count_still_away();
    }

    /// Counts clients that are still away, with their absence until the end.
    fn count_still_away(&mut self) {
        let away = self.clients.iter().filter_map(|client| client.away_since);
        for since in away {
            self.stats.still_away += 1;
            self.stats.last_return = END_AT;
            self.stats.absences.add(END_AT.saturating_sub(since));
        }
    }

    /// Returns the time from the incident until the last client has reconnected.
    pub fn duration(&self) -> Nanos {
        self.stats.last_return.saturating_sub(BEGIN_AT)
    }

    /// Schedules the next step of a client.
    pub(super) fn schedule_client(&mut self, index: usize, at: Nanos, step: ClientStep) {
        if let Some(client) = self.clients.get(index) {
            self.queue.schedule(
                at,
                SimulationEvent::Client(index, client.connection_count, step),
            );
        }
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes.stop(node);
        self.rooms.reset_node(node);
        for index in self.clients_of(node) {
            self.schedule_client(index, BEGIN_AT, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
    }

    fn drain_node(&mut self, node: usize) {
        let now = self.queue.now;
        self.nodes.stop(node);
        let clients = self.clients_of(node);
        let count = clients.len() as u64;
        let drain_time = DRAIN_WITHIN.min(count * SECOND / DRAINED_PER_SECOND);
        for (position, index) in (1..).zip(clients) {
            let at = now + drain_time / count.max(1) * position;
            self.schedule_client(index, at, ClientStep::Disconnect(RESTART_BACKOFF));
        }
        let up_at = now + drain_time + seconds(self.scenario.parameters.restart_s);
        self.queue.schedule(up_at, SimulationEvent::Started(node));
    }

    fn start_node(&mut self, node: usize) {
        self.rooms.reset_node(node);
        self.nodes.start(node);
        if node + 1 < self.nodes.len() {
            let next = self.queue.now + seconds(self.scenario.parameters.settle_s);
            self.queue.schedule(next, SimulationEvent::Drain(node + 1));
        }
    }

    fn clients_of(&self, node: usize) -> Vec<usize> {
        let clients = self.clients.iter().enumerate();
        let connected = clients.filter(|(_, client)| client.node == node && client.is_connected);
        connected.map(|(index, _)| index).collect()
    }
}
