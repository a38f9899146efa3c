//! The simulation: nodes and clients as they were before, what happens to them, and what of it is
//! next.
//!
//! What is not simulated: ordinary traffic beside the storm, the proxies' own work, and queues of
//! the network.

use std::iter::repeat_with;

use super::{
    client::{AFTER_RESTART, Client, FIRST},
    costs::Costs,
    nodes::Nodes,
    plan::{Disaster, Plan},
    rooms::Rooms,
    steps::Step,
    tally::Tally,
};
use crate::{
    chance::Chance,
    clock::{Agenda, Nanos, SECOND, seconds},
};

/// A drain: `DRAIN_WITHIN` and `DRAINED_PER_SECOND` of `src/channels/mod.rs`.
const DRAIN_WITHIN: Nanos = 25 * SECOND;
const DRAINED_PER_SECOND: u64 = 400;

/// Groups have been active for a while when it begins.
const BEGIN: Nanos = SECOND;

/// Who is not back by then will not be: there is no room, or the storm feeds itself.
const END: Nanos = BEGIN + 600 * SECOND;

pub(super) enum Event {
    /// Of a client, in this life of it.
    Client(usize, u32, Step),
    Drain(usize),
    Up(usize),
}

pub struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) agenda: Agenda<Event>,
    pub(super) chance: Chance,
    pub(super) clients: Vec<Client>,
    pub nodes: Nodes,
    pub(super) rooms: Rooms,
    pub costs: Costs<'a>,
    pub tally: Tally,
    /// Until when the balancer is away.
    pub(super) closed_until: Nanos,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, seed: u64) -> Self {
        let figures = &plan.figures;
        let mut chance = Chance::new(seed);
        let mut nodes = Nodes::new(figures);
        let mut rooms = Rooms::new(nodes.len(), figures, seed);
        let seat = || Client::at(nodes.choose(plan.balance, &mut chance).unwrap_or(0));
        let count = usize::try_from(figures.all_sockets()).unwrap_or(0);
        let clients: Vec<_> = repeat_with(seat).take(count).collect();
        for (number, client) in clients.iter().enumerate() {
            for group in rooms.groups_of(number) {
                rooms.enter(group, client.node, 0);
            }
        }
        Self {
            plan,
            agenda: Agenda::new(),
            chance,
            clients,
            nodes,
            rooms,
            costs: Costs::new(figures),
            tally: Tally::default(),
            closed_until: 0,
        }
    }

    pub fn run(&mut self) {
        self.agenda.now = BEGIN;
        match self.plan.disaster {
            Disaster::NodeDies => self.die(0),
            Disaster::BalancerRestarts => {
                self.closed_until = BEGIN + seconds(self.plan.figures.balancer_s);
                let all = 0..self.clients.len();
                all.for_each(|client| self.plan_for(client, BEGIN, Step::Lose(FIRST)));
            }
            Disaster::Deploy => self.agenda.plan(BEGIN, Event::Drain(0)),
        }
        while let Some(event) = self.agenda.next()
            && self.agenda.now < END
        {
            match event {
                Event::Client(client, life, step) => drop(self.step(client, life, step)),
                Event::Drain(node) => self.drain(node),
                Event::Up(node) => self.start(node),
            }
        }
        self.count_the_absent();
    }

    /// Clients that are still away have been so until now at least.
    fn count_the_absent(&mut self) {
        let away = self.clients.iter().filter_map(|client| client.away_since);
        for since in away {
            self.tally.still_away += 1;
            self.tally.last = END;
            self.tally.absences.add(END.saturating_sub(since));
        }
    }

    /// From its beginning to when the last client was back.
    pub fn lasted(&self) -> Nanos {
        self.tally.last.saturating_sub(BEGIN)
    }

    /// Plans what is next for a client.
    pub(super) fn plan_for(&mut self, number: usize, at: Nanos, step: Step) {
        if let Some(client) = self.clients.get(number) {
            self.agenda
                .plan(at, Event::Client(number, client.life, step));
        }
    }

    fn die(&mut self, node: usize) {
        self.nodes.stop(node);
        self.rooms.forget(node);
        for number in self.clients_of(node) {
            self.plan_for(number, BEGIN, Step::Lose(FIRST));
        }
    }

    fn drain(&mut self, node: usize) {
        let now = self.agenda.now;
        self.nodes.stop(node);
        let clients = self.clients_of(node);
        let count = clients.len() as u64;
        let over = DRAIN_WITHIN.min(count * SECOND / DRAINED_PER_SECOND);
        for (place, number) in (1..).zip(clients) {
            let at = now + over / count.max(1) * place;
            self.plan_for(number, at, Step::Lose(AFTER_RESTART));
        }
        let up = now + over + seconds(self.plan.figures.restart_s);
        self.agenda.plan(up, Event::Up(node));
    }

    fn start(&mut self, node: usize) {
        self.rooms.forget(node);
        self.nodes.start(node);
        if node + 1 < self.nodes.len() {
            let next = self.agenda.now + seconds(self.plan.figures.settle_s);
            self.agenda.plan(next, Event::Drain(node + 1));
        }
    }

    fn clients_of(&self, node: usize) -> Vec<usize> {
        let clients = self.clients.iter().enumerate();
        let here = clients.filter(|(_, client)| client.node == node && client.is_connected);
        here.map(|(number, _)| number).collect()
    }
}
