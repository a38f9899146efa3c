//! What all sockets of the load have heard together.

use std::collections::VecDeque;

use crate::statistics::LatencyHistogram;

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
pub struct LoadStats {
    pub flaws: Flaws,
    pub deliveries: u64,
    /// How often something was delivered: by as many writes, at least, of the server.
    pub reads: u64,
    pub replies: u64,
    pub ready_sockets: usize,
    /// From when an event was due until a socket heard it; from the question to its answer; from the
    /// connection until all was told that a socket is told at first.
    pub latency: LatencyHistogram,
    pub reply_times: LatencyHistogram,
    pub ready_times: LatencyHistogram,
    /// Why sockets ended.
    pub socket_errors: Vec<String>,
    groups: Vec<GroupStats>,
}

#[derive(Default)]
struct GroupStats {
    /// Sockets whose deliveries count.
    listeners: u64,
    sent: u64,
    /// How many messages all of them have heard, and how many of them have heard each later one.
    fully_delivered: u64,
    deliveries: VecDeque<u64>,
    /// The highest number that a sender was told, and how many were sent: of a server that does not
    /// number them itself that is the same.
    last_seq: Option<u64>,
}

impl GroupStats {
    fn record_delivery(&mut self, nth: u64) {
        let place = nth.checked_sub(self.fully_delivered);
        let Some(place) = place.and_then(|place| usize::try_from(place).ok()) else {
            return;
        };
        if self.deliveries.len() <= place {
            self.deliveries.resize(place + 1, 0);
        }
        if let Some(heard) = self.deliveries.get_mut(place) {
            *heard += 1;
        }
        while self.deliveries.front() == Some(&self.listeners) {
            self.deliveries.pop_front();
            self.fully_delivered += 1;
        }
    }
}

impl LoadStats {
    pub fn record_open(&mut self, group: usize, counts: bool) {
        let group = self.group(group);
        group.listeners += u64::from(counts);
    }

    pub fn record_ready(&mut self, after: u64) {
        self.ready_sockets += 1;
        self.ready_times.record(after);
    }

    pub fn record_send(&mut self, group: usize) {
        self.group(group).sent += 1;
    }

    /// A socket that counts was told of its group's `nth` message, from 0.
    pub fn record_delivery(&mut self, group: usize, nth: u64, latency: Option<u64>) {
        self.deliveries += 1;
        self.group(group).record_delivery(nth);
        if let Some(latency) = latency {
            self.latency.record(latency);
        }
    }

    pub fn record_reply(&mut self, group: usize, seq: Option<u64>, after: u64) {
        self.replies += 1;
        self.reply_times.record(after);
        let group = self.group(group);
        group.last_seq = group.last_seq.max(seq);
    }

    /// The number of the last event of a group, as far as a sender knows.
    #[must_use]
    pub fn last_seq(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.last_seq.unwrap_or(group.sent))
    }

    /// How many of a group's messages some listener has not heard of yet.
    #[must_use]
    pub fn in_flight(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.sent.saturating_sub(group.fully_delivered))
    }

    /// Whether every listener has heard of everything that was sent.
    #[must_use]
    pub fn is_all_delivered(&self) -> bool {
        (0..self.groups.len()).all(|group| self.in_flight(group) == 0)
    }

    /// The number of the last event of a group, where nobody of this load has sent it.
    pub fn set_last_seq(&mut self, group: usize, last: u64) {
        let group = self.group(group);
        group.last_seq = group.last_seq.max(Some(last));
    }

    /// Forgets what was counted, but not what must never happen, nor where the groups are.
    pub fn reset(&mut self) {
        (self.deliveries, self.reads, self.replies) = (0, 0, 0);
        self.latency.clear();
        self.reply_times.clear();
    }

    fn group(&mut self, number: usize) -> &mut GroupStats {
        if self.groups.len() <= number {
            self.groups.resize_with(number + 1, GroupStats::default);
        }
        // It was just made, if it was not there.
        match self.groups.get_mut(number) {
            Some(group) => group,
            None => unreachable!("groups were resized"),
        }
    }
}
