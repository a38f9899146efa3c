//! The steps of a client that was greeted: it takes its places in groups, and is told what it has
//! missed.

use super::{
    client::{AFTER_RESTART, FIRST, REPLY_WITHIN},
    costs::TURN_WITHIN,
    steps::Step,
    together::{Answer, Question},
    world::World,
};
use crate::clock::{Nanos, SECOND, in_seconds, micros};

/// A place that could not be had, or a log that could not be read, is asked for again after this:
/// `TRY_AGAIN_AFTER` of `src/channels/protocol/rich.rs`, `READ_AGAIN_AFTER` of `connection/mod.rs`.
const AGAIN_AFTER: Nanos = SECOND;

/// A group, a membership and a user: rows of each place.
const PLACE_ROWS: u64 = 3;

impl World<'_> {
    pub(super) fn subscribe(&mut self, number: usize) -> Option<()> {
        let (now, is_patient) = (self.agenda.now, self.plan.is_patient);
        let client = self.client(number)?;
        if !is_patient {
            client.begin_anew();
        }
        client.deadline = now + REPLY_WITHIN;
        self.go_on(number, now, Step::Enter)
    }

    pub(super) fn enter(&mut self, number: usize) -> Option<()> {
        let now = self.agenda.now;
        let node = self.client(number)?.node;
        if !self.nodes.is_taking(node) {
            return self.lose(number, AFTER_RESTART);
        }
        let places = Question {
            keys: u64::from(self.plan.figures.groups),
            rows: PLACE_ROWS,
        };
        let members = &mut self.nodes.get_mut(node)?.members;
        let found = match members.ask(now, places, &mut self.costs) {
            Answer::At(done) => done,
            Answer::AskAt(then) => return self.go_on(number, then, Step::Enter),
            Answer::Never => return self.subscribe_again(number),
        };
        let heard = self.take_places(number)?;
        self.go_on(number, found.max(heard), Step::Join)
    }

    /// Gives when Redis has done what is waited for.
    fn take_places(&mut self, number: usize) -> Option<Nanos> {
        let now = self.agenda.now;
        let client = self.clients.get_mut(number)?;
        let since = client.away_since.unwrap_or(now);
        let missed = self.plan.figures.events_of_a_group() * in_seconds(now - since);
        let (mut new, mut unread, mut heard) = (0, 0, now);
        client.has_places = true;
        for group in self.rooms.groups_of(number) {
            let found = self.rooms.enter(group, client.node, now);
            let is_behind = self.chance.count(missed) > 0;
            let is_unkept = is_behind && self.rooms.must_read(group, client.node, since);
            let must_read = is_unkept || is_behind && self.chance.happens(self.plan.ring_misses);
            unread += u64::from(must_read);
            new += u64::from(found.is_new);
            heard = heard.max(self.costs.say(now, &found));
        }
        (client.uncounted, client.unread) = (new, unread);
        self.tally.new_rooms += new;
        self.tally.pages += unread;
        Some(heard)
    }

    pub(super) fn join(&mut self, number: usize) -> Option<()> {
        let (now, patience) = (self.agenda.now, self.plan.figures.acquire_within());
        let client = self.clients.get_mut(number)?;
        let node = self.nodes.get_mut(client.node)?;
        // Each new group has its members counted, and the healer compares the heads of many.
        let groups = Question {
            keys: client.uncounted,
            rows: u64::from(self.plan.figures.online) + 1,
        };
        if groups.keys == 0 {
            return self.go_on(number, now, Step::Read);
        }
        match node.counts.ask(now, groups, &mut self.costs) {
            Answer::At(done) => self.go_on(number, done, Step::Read),
            Answer::AskAt(then) => self.go_on(number, then, Step::Join),
            // What cannot be counted is taken for small.
            Answer::Never => self.go_on(number, now + patience, Step::Read),
        }
    }

    pub(super) fn read(&mut self, number: usize) -> Option<()> {
        let now = self.agenda.now;
        let client = self.clients.get_mut(number)?;
        // It was answered: it waits for nothing from here on.
        client.deadline = Nanos::MAX;
        client.begin_anew();
        if client.unread == 0 {
            return self.go_on(number, now, Step::Resume);
        }
        let readers = &mut self.nodes.get_mut(client.node)?.readers;
        if let Some(done) = self.costs.read_page(now, readers) {
            client.unread -= 1;
            self.go_on(number, done, Step::Read)
        } else {
            self.go_on(number, now + TURN_WITHIN + AGAIN_AFTER, Step::Read)
        }
    }

    pub(super) fn resume(&mut self, number: usize) -> Option<()> {
        let (now, figures) = (self.agenda.now, &self.plan.figures);
        let client = self.clients.get(number)?;
        let away = in_seconds(now - client.away_since.unwrap_or(now));
        let groups = f64::from(figures.groups);
        let missed = groups * figures.events_of_a_group() * away;
        let work = groups * figures.place_us + missed * figures.more_us;
        let done = self
            .nodes
            .get_mut(client.node)?
            .cores
            .take(now, micros(work));
        self.go_on(number, done, Step::Back)
    }

    pub(super) fn back(&mut self, number: usize) -> Option<()> {
        let arrived = self.agenda.now + self.plan.figures.rtt() / 2;
        let since = self.client(number)?.away_since.take()?;
        self.tally.absences.add(arrived - since);
        self.tally.last = self.tally.last.max(arrived);
        Some(())
    }

    /// A node tells a client that its groups are not to be had now.
    fn subscribe_again(&mut self, number: usize) -> Option<()> {
        self.tally.refused += 1;
        let told = self.agenda.now + self.plan.figures.acquire_within() + self.plan.figures.rtt();
        let client = self.clients.get_mut(number)?;
        let wait = if self.plan.is_patient {
            client.backoff(FIRST, self.plan.has_jitter, &mut self.chance)
        } else {
            AGAIN_AFTER
        };
        self.plan_for(number, told + wait, Step::Subscribe);
        Some(())
    }
}
