//! A client's way from a lost socket to the `sync` of all its groups, step by step, and what it
//! costs whom. What happens between `hello` and that stands in [`super::places`].
//!
//! Each step ends with the plan of the next. `None` means that there is no such client.

use std::mem::take;

use super::{
    client::{Client, FIRST, GREETED_WITHIN},
    together::{Answer, Question},
    world::World,
};
use crate::clock::{Nanos, SECOND, micros};

/// A gate is closed while the database makes others wait for longer than this.
const GATED_FROM: Nanos = SECOND / 4;

/// A session, and its user.
const SESSION: Question = Question { keys: 1, rows: 2 };

#[derive(Clone, Copy)]
pub enum Step {
    Try,
    /// At a node, which does its handshake.
    Arrive,
    /// Its token is good; its session is looked up.
    LookUp,
    /// It was greeted, and asks for its groups.
    Subscribe,
    /// Its memberships are looked up.
    Enter,
    /// It has its places; what nobody knows of them yet is asked.
    Join,
    /// It was answered, and is told what it has missed.
    Read,
    Resume,
    Back,
    /// And when it tries again.
    Lose([Nanos; 2]),
}

impl World<'_> {
    pub(super) fn step(&mut self, number: usize, life: u32, step: Step) -> Option<()> {
        if self.client(number)?.life != life {
            return None;
        }
        match step {
            Step::Try => self.try_again(number),
            Step::Arrive => self.arrive(number),
            Step::LookUp => self.look_up(number),
            Step::Subscribe => self.subscribe(number),
            Step::Enter => self.enter(number),
            Step::Join => self.join(number),
            Step::Read => self.read(number),
            Step::Resume => self.resume(number),
            Step::Back => self.back(number),
            Step::Lose(first) => self.lose(number, first),
        }
    }

    fn try_again(&mut self, number: usize) -> Option<()> {
        let (now, rtt) = (self.agenda.now, self.plan.figures.rtt());
        self.tally.tries += 1;
        self.client(number)?.deadline = now + GREETED_WITHIN;
        let is_closed = now < self.closed_until;
        let chosen = (!is_closed).then(|| self.nodes.choose(self.plan.balance, &mut self.chance));
        if let Some(node) = chosen.flatten() {
            let client = self.client(number)?;
            (client.node, client.is_connected) = (node, true);
            // TCP and TLS.
            self.plan_for(number, now + 2 * rtt, Step::Arrive);
        } else {
            self.plan_for(number, now + rtt, Step::Lose(FIRST));
        }
        Some(())
    }

    fn arrive(&mut self, number: usize) -> Option<()> {
        let (now, figures) = (self.agenda.now, &self.plan.figures);
        let is_stale = self.chance.happens(figures.stale);
        let client = self.clients.get_mut(number)?;
        client.is_stale = is_stale;
        if self.plan.is_gated && self.costs.database.wait(now) > GATED_FROM {
            return self.refuse(number, now);
        }
        if let Some(node) = self.nodes.admit(client.node, number, now) {
            // Buying a token is a request like the handshake.
            let requests = if is_stale { 2.0 } else { 1.0 };
            let done = node.cores.take(now, micros(requests * figures.connect_us));
            self.go_on(number, done, Step::LookUp)
        } else {
            self.refuse(number, now)
        }
    }

    fn look_up(&mut self, number: usize) -> Option<()> {
        let (now, rtt) = (self.agenda.now, self.plan.figures.rtt());
        let client = self.clients.get_mut(number)?;
        let (node, is_stale) = (client.node, take(&mut client.is_stale));
        if is_stale {
            // A token: its session, and an update.
            return match self.costs.ask(now, 2, 0.0) {
                Some(done) => self.go_on(number, done, Step::LookUp),
                None => self.refuse(number, now + self.plan.figures.acquire_within()),
            };
        }
        let sessions = &mut self.nodes.get_mut(node)?.sessions;
        match sessions.ask(now, SESSION, &mut self.costs) {
            // The greeting goes half the way, and the question comes half the way.
            Answer::At(done) => self.go_on(number, done + rtt, Step::Subscribe),
            Answer::AskAt(then) => self.go_on(number, then, Step::LookUp),
            Answer::Never => self.refuse(number, now + self.plan.figures.acquire_within()),
        }
    }

    pub(super) fn lose(&mut self, number: usize, first: [Nanos; 2]) -> Option<()> {
        let now = self.agenda.now;
        let client = self.clients.get_mut(number)?;
        client.life += 1;
        if take(&mut client.is_connected) {
            self.nodes.leave(client.node);
        }
        if take(&mut client.has_places) {
            for group in self.rooms.groups_of(number) {
                self.rooms.leave(group, client.node, now);
            }
        }
        client.away_since.get_or_insert(now);
        let wait = client.backoff(first, self.plan.has_jitter, &mut self.chance);
        self.plan_for(number, now + wait, Step::Try);
        Some(())
    }

    /// A node tells a client that it cannot come in.
    fn refuse(&mut self, number: usize, at: Nanos) -> Option<()> {
        self.tally.refused += 1;
        self.plan_for(number, at + self.plan.figures.rtt(), Step::Lose(FIRST));
        Some(())
    }

    /// Plans what is next for a client, or that it gives up before.
    pub(super) fn go_on(&mut self, number: usize, at: Nanos, step: Step) -> Option<()> {
        let deadline = self.client(number)?.deadline;
        if at <= deadline {
            self.plan_for(number, at, step);
        } else {
            self.tally.given_up += 1;
            self.plan_for(number, deadline, Step::Lose(FIRST));
        }
        Some(())
    }

    pub(super) fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(number)
    }
}
