//! The steps of a client from a lost socket to the `sync` of all its groups, with their costs. The
//! steps after `hello` are in [`super::subscribe_steps`].
//!
//! Each step schedules the next step. `None` means that the client does not exist.

use std::mem::take;

use super::{
    batch_loader::{LoadRequest, LoadResult},
    client::{HELLO_TIMEOUT, INITIAL_BACKOFF, SimulatedClient},
    simulation::ReconnectSimulation,
};
use crate::clock::{Nanos, SECOND, micros};

/// The wait for the database above which an admission gate rejects clients.
const GATE_THRESHOLD: Nanos = SECOND / 4;

/// The rows of a session lookup: the session and its user.
const SESSION_LOOKUP: LoadRequest = LoadRequest { keys: 1, rows: 2 };

/// A step of a client.
#[derive(Clone, Copy)]
pub enum ClientStep {
    /// The client connects.
    Connect,
    /// The client has reached a node, which processes its handshake.
    Arrive,
    /// The token is valid, and the node loads the session.
    LoadSession,
    /// The client has received `hello` and subscribes to its groups.
    Subscribe,
    /// The node loads the memberships.
    LoadMemberships,
    /// The client is subscribed, and the node counts the members of new rooms.
    CountMembers,
    /// The client has its reply, and the node reads missed events from logs.
    ReadLogs,
    /// The node sends the missed events.
    ReplayEvents,
    /// The client has caught up.
    Finish,
    /// The connection is lost. The range is that of the first backoff.
    Disconnect([Nanos; 2]),
}

impl ReconnectSimulation<'_> {
    pub(super) fn run_step(
        &mut self,
        index: usize,
        connection: u32,
        step: ClientStep,
    ) -> Option<()> {
        if self.client_mut(index)?.connection_count != connection {
            return None;
        }
        match step {
            ClientStep::Connect => self.connect(index),
            ClientStep::Arrive => self.arrive(index),
            ClientStep::LoadSession => self.load_session(index),
            ClientStep::Subscribe => self.subscribe(index),
            ClientStep::LoadMemberships => self.load_memberships(index),
            ClientStep::CountMembers => self.count_members(index),
            ClientStep::ReadLogs => self.read_logs(index),
            ClientStep::ReplayEvents => self.replay_events(index),
            ClientStep::Finish => self.finish_reconnect(index),
            ClientStep::Disconnect(first_range) => self.disconnect(index, first_range),
        }
    }

    fn connect(&mut self, index: usize) -> Option<()> {
        let (now, rtt) = (self.queue.now, self.scenario.parameters.rtt());
        self.stats.attempts += 1;
        self.client_mut(index)?.deadline = now + HELLO_TIMEOUT;
        let is_balancer_down = now < self.balancer_back_at;
        let node = (!is_balancer_down)
            .then(|| self.nodes.assign(self.scenario.balancing, &mut self.rng))
            .flatten();
        if let Some(node) = node {
            let client = self.client_mut(index)?;
            (client.node, client.is_connected) = (node, true);
            // The handshakes of TCP and TLS.
            self.schedule_client(index, now + 2 * rtt, ClientStep::Arrive);
        } else {
            self.schedule_client(index, now + rtt, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
        Some(())
    }

    fn arrive(&mut self, index: usize) -> Option<()> {
        let (now, parameters) = (self.queue.now, &self.scenario.parameters);
        let is_stale = self.rng.bernoulli(parameters.stale);
        let client = self.clients.get_mut(index)?;
        client.is_token_expired = is_stale;
        if self.scenario.has_admission_gate && self.backend.database.wait_time(now) > GATE_THRESHOLD
        {
            return self.reject(index, now);
        }
        if let Some(node) = self.nodes.admit(client.node, index, now) {
            // A token refresh is a request like the handshake.
            let requests = if is_stale { 2.0 } else { 1.0 };
            let done = node
                .cores
                .run(now, micros(requests * parameters.connect_us));
            self.schedule_or_give_up(index, done, ClientStep::LoadSession)
        } else {
            self.reject(index, now)
        }
    }

    fn load_session(&mut self, index: usize) -> Option<()> {
        let (now, rtt) = (self.queue.now, self.scenario.parameters.rtt());
        let client = self.clients.get_mut(index)?;
        let (node, is_stale) = (client.node, take(&mut client.is_token_expired));
        if is_stale {
            // A token refresh reads the session and updates it.
            return match self.backend.run_queries(now, 2, 0.0) {
                Some(done) => self.schedule_or_give_up(index, done, ClientStep::LoadSession),
                None => self.reject(index, now + self.scenario.parameters.acquire_timeout()),
            };
        }
        let sessions = &mut self.nodes.get_mut(node)?.session_loader;
        match sessions.load(now, SESSION_LOOKUP, &mut self.backend) {
            // `hello` and the subscribe request travel half a round trip each.
            LoadResult::ReadyAt(done) => {
                self.schedule_or_give_up(index, done + rtt, ClientStep::Subscribe)
            }
            LoadResult::RetryAt(retry_at) => {
                self.schedule_or_give_up(index, retry_at, ClientStep::LoadSession)
            }
            LoadResult::TimedOut => {
                self.reject(index, now + self.scenario.parameters.acquire_timeout())
            }
        }
    }

    pub(super) fn disconnect(&mut self, index: usize, first_range: [Nanos; 2]) -> Option<()> {
        let now = self.queue.now;
        let client = self.clients.get_mut(index)?;
        client.connection_count += 1;
        if take(&mut client.is_connected) {
            self.nodes.leave(client.node);
        }
        if take(&mut client.is_subscribed) {
            for group in self.rooms.groups_of(index) {
                self.rooms.leave(group, client.node, now);
            }
        }
        client.away_since.get_or_insert(now);
        let wait = client.backoff(first_range, self.scenario.has_jitter, &mut self.rng);
        self.schedule_client(index, now + wait, ClientStep::Connect);
        Some(())
    }

    /// A node rejects a client.
    fn reject(&mut self, index: usize, at: Nanos) -> Option<()> {
        self.stats.rejected += 1;
        self.schedule_client(
            index,
            at + self.scenario.parameters.rtt(),
            ClientStep::Disconnect(INITIAL_BACKOFF),
        );
        Some(())
    }

    /// Schedules the next step of a client, or the end of its patience if that comes first.
    pub(super) fn schedule_or_give_up(
        &mut self,
        index: usize,
        at: Nanos,
        step: ClientStep,
    ) -> Option<()> {
        let deadline = self.client_mut(index)?.deadline;
        if at <= deadline {
            self.schedule_client(index, at, step);
        } else {
            self.stats.timed_out += 1;
            self.schedule_client(index, deadline, ClientStep::Disconnect(INITIAL_BACKOFF));
        }
        Some(())
    }

    pub(super) fn client_mut(&mut self, index: usize) -> Option<&mut SimulatedClient> {
        self.clients.get_mut(index)
    }
}
