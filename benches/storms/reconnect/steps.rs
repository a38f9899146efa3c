//! A client's way from a lost socket to the `sync` of all its groups, step by step, and what it
//! costs whom. What happens between `hello` and that stands in [`super::places`].
//!
//! Each step ends with the plan of the next. `None` means that there is no such client.

use std::mem::take;

use super::{
    batch_loader::{LoadRequest, LoadResult},
    client::{HELLO_TIMEOUT, INITIAL_BACKOFF, SimulatedClient},
    simulation::ReconnectSimulation,
};
use crate::clock::{Nanos, SECOND, micros};

/// A gate is closed while the database makes others wait for longer than this.
const GATE_THRESHOLD: Nanos = SECOND / 4;

/// A session, and its user.
const SESSION_LOOKUP: LoadRequest = LoadRequest { keys: 1, rows: 2 };

#[derive(Clone, Copy)]
pub enum ClientStep {
    Connect,
    /// At a node, which does its handshake.
    Arrive,
    /// Its token is good; its session is looked up.
    LoadSession,
    /// It was greeted, and asks for its groups.
    Subscribe,
    /// Its memberships are looked up.
    LoadMemberships,
    /// It has its places; what nobody knows of them yet is asked.
    CountMembers,
    /// It was answered, and is told what it has missed.
    ReadLogs,
    ReplayEvents,
    Finish,
    /// And when it tries again.
    Disconnect([Nanos; 2]),
}

impl ReconnectSimulation<'_> {
    pub(super) fn run_step(&mut self, number: usize, life: u32, step: ClientStep) -> Option<()> {
        if self.client_mut(number)?.connection_count != life {
            return None;
        }
        match step {
            ClientStep::Connect => self.connect(number),
            ClientStep::Arrive => self.arrive(number),
            ClientStep::LoadSession => self.load_session(number),
            ClientStep::Subscribe => self.subscribe(number),
            ClientStep::LoadMemberships => self.load_memberships(number),
            ClientStep::CountMembers => self.count_members(number),
            ClientStep::ReadLogs => self.read_logs(number),
            ClientStep::ReplayEvents => self.replay_events(number),
            ClientStep::Finish => self.finish_reconnect(number),
            ClientStep::Disconnect(first) => self.disconnect(number, first),
        }
    }

    fn connect(&mut self, number: usize) -> Option<()> {
        let (now, rtt) = (self.queue.now, self.scenario.parameters.rtt());
        self.stats.attempts += 1;
        self.client_mut(number)?.deadline = now + HELLO_TIMEOUT;
        let is_closed = now < self.balancer_back_at;
        let chosen =
            (!is_closed).then(|| self.nodes.assign(self.scenario.balancing, &mut self.rng));
        if let Some(node) = chosen.flatten() {
            let client = self.client_mut(number)?;
            (client.node, client.is_connected) = (node, true);
            // TCP and TLS.
            self.schedule_client(number, now + 2 * rtt, ClientStep::Arrive);
        } else {
            self.schedule_client(number, now + rtt, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
        Some(())
    }

    fn arrive(&mut self, number: usize) -> Option<()> {
        let (now, figures) = (self.queue.now, &self.scenario.parameters);
        let is_stale = self.rng.bernoulli(figures.stale);
        let client = self.clients.get_mut(number)?;
        client.is_token_expired = is_stale;
        if self.scenario.has_admission_gate && self.backend.database.wait_time(now) > GATE_THRESHOLD
        {
            return self.reject(number, now);
        }
        if let Some(node) = self.nodes.admit(client.node, number, now) {
            // Buying a token is a request like the handshake.
            let requests = if is_stale { 2.0 } else { 1.0 };
            let done = node.cores.run(now, micros(requests * figures.connect_us));
            self.schedule_or_give_up(number, done, ClientStep::LoadSession)
        } else {
            self.reject(number, now)
        }
    }

    fn load_session(&mut self, number: usize) -> Option<()> {
        let (now, rtt) = (self.queue.now, self.scenario.parameters.rtt());
        let client = self.clients.get_mut(number)?;
        let (node, is_stale) = (client.node, take(&mut client.is_token_expired));
        if is_stale {
            // A token: its session, and an update.
            return match self.backend.run_queries(now, 2, 0.0) {
                Some(done) => self.schedule_or_give_up(number, done, ClientStep::LoadSession),
                None => self.reject(number, now + self.scenario.parameters.acquire_timeout()),
            };
        }
        let sessions = &mut self.nodes.get_mut(node)?.session_loader;
        match sessions.load(now, SESSION_LOOKUP, &mut self.backend) {
            // The greeting goes half the way, and the question comes half the way.
            LoadResult::ReadyAt(done) => {
                self.schedule_or_give_up(number, done + rtt, ClientStep::Subscribe)
            }
            LoadResult::RetryAt(then) => {
                self.schedule_or_give_up(number, then, ClientStep::LoadSession)
            }
            LoadResult::TimedOut => {
                self.reject(number, now + self.scenario.parameters.acquire_timeout())
            }
        }
    }

    pub(super) fn disconnect(&mut self, number: usize, first: [Nanos; 2]) -> Option<()> {
        let now = self.queue.now;
        let client = self.clients.get_mut(number)?;
        client.connection_count += 1;
        if take(&mut client.is_connected) {
            self.nodes.leave(client.node);
        }
        if take(&mut client.is_subscribed) {
            for group in self.rooms.groups_of(number) {
                self.rooms.leave(group, client.node, now);
            }
        }
        client.away_since.get_or_insert(now);
        let wait = client.backoff(first, self.scenario.has_jitter, &mut self.rng);
        self.schedule_client(number, now + wait, ClientStep::Connect);
        Some(())
    }

    /// A node tells a client that it cannot come in.
    fn reject(&mut self, number: usize, at: Nanos) -> Option<()> {
        self.stats.rejected += 1;
        self.schedule_client(
            number,
            at + self.scenario.parameters.rtt(),
            ClientStep::Disconnect(INITIAL_BACKOFF),
        );
        Some(())
    }

    /// Plans what is next for a client, or that it gives up before.
    pub(super) fn schedule_or_give_up(
        &mut self,
        number: usize,
        at: Nanos,
        step: ClientStep,
    ) -> Option<()> {
        let deadline = self.client_mut(number)?.deadline;
        if at <= deadline {
            self.schedule_client(number, at, step);
        } else {
            self.stats.timed_out += 1;
            self.schedule_client(number, deadline, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
        Some(())
    }

    pub(super) fn client_mut(&mut self, number: usize) -> Option<&mut SimulatedClient> {
        self.clients.get_mut(number)
    }
}
