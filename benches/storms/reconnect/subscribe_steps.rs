//! The steps of a client after `hello`: it subscribes to its groups and receives missed events.

use super::{
    backend_load::READ_TURN_TIMEOUT,
    batch_loader::{LoadRequest, LoadResult},
    client::{INITIAL_BACKOFF, REPLY_TIMEOUT, RESTART_BACKOFF},
    simulation::ReconnectSimulation,
    steps::ClientStep,
};
use crate::clock::{Nanos, SECOND, micros, to_seconds};

/// The pause before a retry of a failed subscription or of a failed log read.
///
/// It is `RETRY_AFTER` of `src/channels/protocol/rich.rs` and `READ_RETRY_DELAY` of
/// `connection/mod.rs`.
const RETRY_AFTER: Nanos = SECOND;

/// The rows of each membership lookup: a group, a membership and a user.
const ROWS_PER_MEMBERSHIP: u64 = 3;

impl ReconnectSimulation<'_> {
    pub(super) fn subscribe(&mut self, index: usize) -> Option<()> {
        let (now, is_patient) = (self.queue.now, self.scenario.has_patient_clients);
        let client = self.client_mut(index)?;
        if !is_patient {
            client.reset_backoff();
        }
        client.deadline = now + REPLY_TIMEOUT;
        self.schedule_or_give_up(index, now, ClientStep::LoadMemberships)
    }

    pub(super) fn load_memberships(&mut self, index: usize) -> Option<()> {
        let now = self.queue.now;
        let node = self.client_mut(index)?.node;
        if !self.nodes.is_accepting(node) {
            return self.disconnect(index, RESTART_BACKOFF);
        }
        let request = LoadRequest {
            keys: u64::from(self.scenario.parameters.groups),
            rows: ROWS_PER_MEMBERSHIP,
        };
        let members = &mut self.nodes.get_mut(node)?.member_loader;
        let loaded_at = match members.load(now, request, &mut self.backend) {
            LoadResult::ReadyAt(done) => done,
            LoadResult::RetryAt(retry_at) => {
                return self.schedule_or_give_up(index, retry_at, ClientStep::LoadMemberships);
            }
            LoadResult::TimedOut => return self.retry_subscribe(index),
        };
        let published_at = self.enter_rooms(index)?;
        self.schedule_or_give_up(index, loaded_at.max(published_at), ClientStep::CountMembers)
    }

    /// Enters the rooms of a client. Returns the time until which the client waits for Redis.
    fn enter_rooms(&mut self, index: usize) -> Option<Nanos> {
        let now = self.queue.now;
        let client = self.clients.get_mut(index)?;
        let since = client.away_since.unwrap_or(now);
        let missed = self.scenario.parameters.events_of_a_group() * to_seconds(now - since);
        let (mut new_rooms, mut log_pages, mut published_at) = (0, 0, now);
        client.is_subscribed = true;
        for group in self.rooms.groups_of(index) {
            let room = self.rooms.enter(group, client.node, now);
            let is_behind = self.rng.poisson(missed) > 0;
            let is_not_buffered = is_behind && self.rooms.must_read_log(group, client.node, since);
            let must_read =
                is_not_buffered || is_behind && self.rng.bernoulli(self.scenario.buffer_misses);
            log_pages += u64::from(must_read);
            new_rooms += u64::from(room.is_new);
            published_at = published_at.max(self.backend.publish_presence(now, &room));
        }
        (client.groups_to_count, client.pages_to_read) = (new_rooms, log_pages);
        self.stats.new_rooms += new_rooms;
        self.stats.log_pages += log_pages;
        Some(published_at)
    }

    pub(super) fn count_members(&mut self, index: usize) -> Option<()> {
        let (now, acquire_timeout) = (self.queue.now, self.scenario.parameters.acquire_timeout());
        let client = self.clients.get_mut(index)?;
        let node = self.nodes.get_mut(client.node)?;
        // The node counts the members of each new room, and the gap repair compares the heads of
        // many groups.
        let request = LoadRequest {
            keys: client.groups_to_count,
            rows: u64::from(self.scenario.parameters.online) + 1,
        };
        if request.keys == 0 {
            return self.schedule_or_give_up(index, now, ClientStep::ReadLogs);
        }
        match node.count_loader.load(now, request, &mut self.backend) {
            LoadResult::ReadyAt(done) => {
                self.schedule_or_give_up(index, done, ClientStep::ReadLogs)
            }
            LoadResult::RetryAt(retry_at) => {
                self.schedule_or_give_up(index, retry_at, ClientStep::CountMembers)
            }
            // A group that cannot be counted counts as small.
            LoadResult::TimedOut => {
                self.schedule_or_give_up(index, now + acquire_timeout, ClientStep::ReadLogs)
            }
        }
    }

    pub(super) fn read_logs(&mut self, index: usize) -> Option<()> {
        let now = self.queue.now;
        let client = self.clients.get_mut(index)?;
        // The client has its reply, so no timeout applies from now on.
        client.deadline = Nanos::MAX;
        client.reset_backoff();
        if client.pages_to_read == 0 {
            return self.schedule_or_give_up(index, now, ClientStep::ReplayEvents);
        }
        let readers = &mut self.nodes.get_mut(client.node)?.readers;
        if let Some(done) = self.backend.read_page(now, readers) {
            client.pages_to_read -= 1;
            self.schedule_or_give_up(index, done, ClientStep::ReadLogs)
        } else {
            self.schedule_or_give_up(
                index,
                now + READ_TURN_TIMEOUT + RETRY_AFTER,
                ClientStep::ReadLogs,
            )
        }
    }

    pub(super) fn replay_events(&mut self, index: usize) -> Option<()> {
        let (now, parameters) = (self.queue.now, &self.scenario.parameters);
        let client = self.clients.get(index)?;
        let absence_s = to_seconds(now - client.away_since.unwrap_or(now));
        let groups = f64::from(parameters.groups);
        let missed = groups * parameters.events_of_a_group() * absence_s;
        let work = groups * parameters.place_us + missed * parameters.more_us;
        let done = self
            .nodes
            .get_mut(client.node)?
            .cores
            .run(now, micros(work));
        self.schedule_or_give_up(index, done, ClientStep::Finish)
    }

    pub(super) fn finish_reconnect(&mut self, index: usize) -> Option<()> {
        let arrived = self.queue.now + self.scenario.parameters.rtt() / 2;
        let since = self.client_mut(index)?.away_since.take()?;
        self.stats.absences.add(arrived - since);
        self.stats.last_return = self.stats.last_return.max(arrived);
        Some(())
    }

    /// A node rejects a subscription.
    fn retry_subscribe(&mut self, index: usize) -> Option<()> {
        self.stats.rejected += 1;
        let rejected_at = self.queue.now
            + self.scenario.parameters.acquire_timeout()
            + self.scenario.parameters.rtt();
        let client = self.clients.get_mut(index)?;
        let wait = if self.scenario.has_patient_clients {
            client.backoff(INITIAL_BACKOFF, self.scenario.has_jitter, &mut self.rng)
        } else {
            RETRY_AFTER
        };
        self.schedule_client(index, rejected_at + wait, ClientStep::Subscribe);
        Some(())
    }
}
