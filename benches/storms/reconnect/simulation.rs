//! The simulation: nodes and clients as they were before, what happens to them, and what of it is
//! next.
//!
//! What is not simulated: ordinary traffic beside the storm, the proxies' own work, and queues of
//! the network.

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

/// A drain: `MAX_DRAIN_SPREAD` and `DRAIN_SOCKETS_PER_SECOND` of `src/channels/mod.rs`.
const DRAIN_WITHIN: Nanos = 25 * SECOND;
const DRAINED_PER_SECOND: u64 = 400;

/// Groups have been active for a while when it begins.
const BEGIN_AT: Nanos = SECOND;

/// Who is not back by then will not be: there is no room, or the storm feeds itself.
const END_AT: Nanos = BEGIN_AT + 600 * SECOND;

pub(super) enum SimulationEvent {
    /// Of a client, in this life of it.
    Client(usize, u32, ClientStep),
    Drain(usize),
    Started(usize),
}

pub struct ReconnectSimulation<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) queue: EventQueue<SimulationEvent>,
    pub(super) rng: Rng,
    pub(super) clients: Vec<SimulatedClient>,
    pub nodes: Nodes,
    pub(super) rooms: Rooms,
    pub backend: BackendLoad<'a>,
    pub stats: ReconnectStats,
    /// Until when the balancer is away.
    pub(super) balancer_back_at: Nanos,
}

impl<'a> ReconnectSimulation<'a> {
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let figures = &scenario.parameters;
        let mut rng = Rng::new(seed);
        let mut nodes = Nodes::new(figures);
        let mut rooms = Rooms::new(nodes.len(), figures, seed);
        let seat = || {
            SimulatedClient::connected_to(nodes.assign(scenario.balancing, &mut rng).unwrap_or(0))
        };
        let count = usize::try_from(figures.all_sockets()).unwrap_or(0);
        let clients: Vec<_> = repeat_with(seat).take(count).collect();
        for (number, client) in clients.iter().enumerate() {
            for group in rooms.groups_of(number) {
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
            backend: BackendLoad::new(figures),
            stats: ReconnectStats::default(),
            balancer_back_at: 0,
        }
    }

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
                SimulationEvent::Client(client, life, step) => {
                    self.run_step(client, life, step);
                }
                SimulationEvent::Drain(node) => self.drain_node(node),
                SimulationEvent::Started(node) => self.start_node(node),
            }
        }
        self.count_still_away();
    }

    /// Clients that are still away have been so until now at least.
    fn count_still_away(&mut self) {
        let away = self.clients.iter().filter_map(|client| client.away_since);
        for since in away {
            self.stats.still_away += 1;
            self.stats.last_return = END_AT;
            self.stats.absences.add(END_AT.saturating_sub(since));
        }
    }

    /// From its beginning to when the last client was back.
    pub fn duration(&self) -> Nanos {
        self.stats.last_return.saturating_sub(BEGIN_AT)
    }

    /// Plans what is next for a client.
    pub(super) fn schedule_client(&mut self, number: usize, at: Nanos, step: ClientStep) {
        if let Some(client) = self.clients.get(number) {
            self.queue.schedule(
                at,
                SimulationEvent::Client(number, client.connection_count, step),
            );
        }
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes.stop(node);
        self.rooms.reset_node(node);
        for number in self.clients_of(node) {
            self.schedule_client(number, BEGIN_AT, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
    }

    fn drain_node(&mut self, node: usize) {
        let now = self.queue.now;
        self.nodes.stop(node);
        let clients = self.clients_of(node);
        let count = clients.len() as u64;
        let over = DRAIN_WITHIN.min(count * SECOND / DRAINED_PER_SECOND);
        for (place, number) in (1..).zip(clients) {
            let at = now + over / count.max(1) * place;
            self.schedule_client(number, at, ClientStep::Disconnect(RESTART_BACKOFF));
        }
        let up = now + over + seconds(self.scenario.parameters.restart_s);
        self.queue.schedule(up, SimulationEvent::Started(node));
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
        let here = clients.filter(|(_, client)| client.node == node && client.is_connected);
        here.map(|(number, _)| number).collect()
    }
}
