//! What all sockets of the load have heard together.

use std::collections::VecDeque;

use crate::figures::Times;

/// What must never happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
}

impl Flaws {
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
    }
}

#[derive(Default)]
pub struct Tally {
    pub flaws: Flaws,
    pub delivered: u64,
    /// How often something was delivered: by as many writes, at least, of the server.
    pub reads: u64,
    pub answered: u64,
    pub ready: usize,
    /// From when an event was due until a socket heard it; from the question to its answer; from the
    /// connection until all was told that a socket is told at first.
    pub latency: Times,
    pub waits: Times,
    pub readiness: Times,
    /// Why sockets ended.
    pub faults: Vec<String>,
    groups: Vec<Group>,
}

#[derive(Default)]
struct Group {
    /// Sockets whose deliveries count.
    listeners: u64,
    sent: u64,
    /// How many messages all of them have heard, and how many of them have heard each later one.
    told: u64,
    heard: VecDeque<u64>,
    /// The highest number that a sender was told, and how many were sent: of a server that does not
    /// number them itself that is the same.
    numbered: Option<u64>,
}

impl Group {
    fn hear(&mut self, nth: u64) {
        let place = nth.checked_sub(self.told);
        let Some(place) = place.and_then(|place| usize::try_from(place).ok()) else {
            return;
        };
        if self.heard.len() <= place {
            self.heard.resize(place + 1, 0);
        }
        if let Some(heard) = self.heard.get_mut(place) {
            *heard += 1;
        }
        while self.heard.front() == Some(&self.listeners) {
            self.heard.pop_front();
            self.told += 1;
        }
    }
}

impl Tally {
    pub fn opened(&mut self, group: usize, counts: bool) {
        let group = self.group(group);
        group.listeners += u64::from(counts);
    }

    pub fn ready(&mut self, after: u64) {
        self.ready += 1;
        self.readiness.record(after);
    }

    pub fn sent(&mut self, group: usize) {
        self.group(group).sent += 1;
    }

    /// A socket that counts was told of its group's `nth` message, from 0.
    pub fn delivered(&mut self, group: usize, nth: u64, latency: Option<u64>) {
        self.delivered += 1;
        self.group(group).hear(nth);
        if let Some(latency) = latency {
            self.latency.record(latency);
        }
    }

    pub fn answered(&mut self, group: usize, seq: Option<u64>, after: u64) {
        self.answered += 1;
        self.waits.record(after);
        let group = self.group(group);
        group.numbered = group.numbered.max(seq);
    }

    /// The number of the last event of a group, as far as a sender knows.
    #[must_use]
    pub fn last(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.numbered.unwrap_or(group.sent))
    }

    /// How many of a group's messages some listener has not heard of yet.
    #[must_use]
    pub fn in_flight(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.sent.saturating_sub(group.told))
    }

    /// Whether every listener has heard of everything that was sent.
    #[must_use]
    pub fn all_told(&self) -> bool {
        (0..self.groups.len()).all(|group| self.in_flight(group) == 0)
    }

    /// The number of the last event of a group, where nobody of this load has sent it.
    pub fn expect(&mut self, group: usize, last: u64) {
        let group = self.group(group);
        group.numbered = group.numbered.max(Some(last));
    }

    /// Forgets what was counted, but not what must never happen, nor where the groups are.
    pub fn begin(&mut self) {
        (self.delivered, self.reads, self.answered) = (0, 0, 0);
        self.latency.clear();
        self.waits.clear();
    }

    fn group(&mut self, number: usize) -> &mut Group {
        if self.groups.len() <= number {
            self.groups.resize_with(number + 1, Group::default);
        }
        // It was just made, if it was not there.
        match self.groups.get_mut(number) {
            Some(group) => group,
            None => unreachable!("groups were resized"),
        }
    }
}
