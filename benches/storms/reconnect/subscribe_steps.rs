//! The steps of a client that was greeted: it takes its places in groups, and is told what it has
//! missed.

use super::{
    backend_load::READ_TURN_TIMEOUT,
    batch_loader::{LoadRequest, LoadResult},
    client::{INITIAL_BACKOFF, REPLY_TIMEOUT, RESTART_BACKOFF},
    simulation::ReconnectSimulation,
    steps::ClientStep,
};
use crate::clock::{Nanos, SECOND, micros, to_seconds};

/// A place that could not be had, or a log that could not be read, is asked for again after this:
/// `RETRY_AFTER` of `src/channels/protocol/rich.rs`, `LOG_READ_RETRY_DELAY` of `connection/mod.rs`.
const RETRY_AFTER: Nanos = SECOND;

/// A group, a membership and a user: rows of each place.
const ROWS_PER_MEMBERSHIP: u64 = 3;

impl ReconnectSimulation<'_> {
    pub(super) fn subscribe(&mut self, number: usize) -> Option<()> {
        let (now, is_patient) = (self.queue.now, self.scenario.has_patient_clients);
        let client = self.client_mut(number)?;
        if !is_patient {
            client.reset_backoff();
        }
        client.deadline = now + REPLY_TIMEOUT;
        self.schedule_or_give_up(number, now, ClientStep::LoadMemberships)
    }

    pub(super) fn load_memberships(&mut self, number: usize) -> Option<()> {
        let now = self.queue.now;
        let node = self.client_mut(number)?.node;
        if !self.nodes.is_accepting(node) {
            return self.disconnect(number, RESTART_BACKOFF);
        }
        let places = LoadRequest {
            keys: u64::from(self.scenario.parameters.groups),
            rows: ROWS_PER_MEMBERSHIP,
        };
        let members = &mut self.nodes.get_mut(node)?.member_loader;
        let found = match members.load(now, places, &mut self.backend) {
            LoadResult::ReadyAt(done) => done,
            LoadResult::RetryAt(then) => {
                return self.schedule_or_give_up(number, then, ClientStep::LoadMemberships);
            }
            LoadResult::TimedOut => return self.retry_subscribe(number),
        };
        let heard = self.enter_rooms(number)?;
        self.schedule_or_give_up(number, found.max(heard), ClientStep::CountMembers)
    }

    /// Gives when Redis has done what is waited for.
    fn enter_rooms(&mut self, number: usize) -> Option<Nanos> {
        let now = self.queue.now;
        let client = self.clients.get_mut(number)?;
        let since = client.away_since.unwrap_or(now);
        let missed = self.scenario.parameters.events_of_a_group() * to_seconds(now - since);
        let (mut new, mut unread, mut heard) = (0, 0, now);
        client.is_subscribed = true;
        for group in self.rooms.groups_of(number) {
            let found = self.rooms.enter(group, client.node, now);
            let is_behind = self.rng.poisson(missed) > 0;
            let is_unkept = is_behind && self.rooms.must_read_log(group, client.node, since);
            let must_read =
                is_unkept || is_behind && self.rng.bernoulli(self.scenario.buffer_misses);
            unread += u64::from(must_read);
            new += u64::from(found.is_new);
            heard = heard.max(self.backend.publish_presence(now, &found));
        }
        (client.groups_to_count, client.pages_to_read) = (new, unread);
        self.stats.new_rooms += new;
        self.stats.log_pages += unread;
        Some(heard)
    }

    pub(super) fn count_members(&mut self, number: usize) -> Option<()> {
        let (now, patience) = (self.queue.now, self.scenario.parameters.acquire_timeout());
        let client = self.clients.get_mut(number)?;
        let node = self.nodes.get_mut(client.node)?;
        // Each new group has its members counted, and the healer compares the heads of many.
        let groups = LoadRequest {
            keys: client.groups_to_count,
            rows: u64::from(self.scenario.parameters.online) + 1,
        };
        if groups.keys == 0 {
            return self.schedule_or_give_up(number, now, ClientStep::ReadLogs);
        }
        match node.count_loader.load(now, groups, &mut self.backend) {
            LoadResult::ReadyAt(done) => {
                self.schedule_or_give_up(number, done, ClientStep::ReadLogs)
            }
            LoadResult::RetryAt(then) => {
                self.schedule_or_give_up(number, then, ClientStep::CountMembers)
            }
            // What cannot be counted is taken for small.
            LoadResult::TimedOut => {
                self.schedule_or_give_up(number, now + patience, ClientStep::ReadLogs)
            }
        }
    }

    pub(super) fn read_logs(&mut self, number: usize) -> Option<()> {
        let now = self.queue.now;
        let client = self.clients.get_mut(number)?;
        // It was answered: it waits for nothing from here on.
        client.deadline = Nanos::MAX;
        client.reset_backoff();
        if client.pages_to_read == 0 {
            return self.schedule_or_give_up(number, now, ClientStep::ReplayEvents);
        }
        let readers = &mut self.nodes.get_mut(client.node)?.readers;
        if let Some(done) = self.backend.read_page(now, readers) {
            client.pages_to_read -= 1;
            self.schedule_or_give_up(number, done, ClientStep::ReadLogs)
        } else {
            self.schedule_or_give_up(
                number,
                now + READ_TURN_TIMEOUT + RETRY_AFTER,
                ClientStep::ReadLogs,
            )
        }
    }

    pub(super) fn replay_events(&mut self, number: usize) -> Option<()> {
        let (now, figures) = (self.queue.now, &self.scenario.parameters);
        let client = self.clients.get(number)?;
        let away = to_seconds(now - client.away_since.unwrap_or(now));
        let groups = f64::from(figures.groups);
        let missed = groups * figures.events_of_a_group() * away;
        let work = groups * figures.place_us + missed * figures.more_us;
        let done = self
            .nodes
            .get_mut(client.node)?
            .cores
            .run(now, micros(work));
        self.schedule_or_give_up(number, done, ClientStep::Finish)
    }

    pub(super) fn finish_reconnect(&mut self, number: usize) -> Option<()> {
        let arrived = self.queue.now + self.scenario.parameters.rtt() / 2;
        let since = self.client_mut(number)?.away_since.take()?;
        self.stats.absences.add(arrived - since);
        self.stats.last_return = self.stats.last_return.max(arrived);
        Some(())
    }

    /// A node tells a client that its groups are not to be had now.
    fn retry_subscribe(&mut self, number: usize) -> Option<()> {
        self.stats.rejected += 1;
        let told = self.queue.now
            + self.scenario.parameters.acquire_timeout()
            + self.scenario.parameters.rtt();
        let client = self.clients.get_mut(number)?;
        let wait = if self.scenario.has_patient_clients {
            client.backoff(INITIAL_BACKOFF, self.scenario.has_jitter, &mut self.rng)
        } else {
            RETRY_AFTER
        };
        self.schedule_client(number, told + wait, ClientStep::Subscribe);
        Some(())
    }
}
