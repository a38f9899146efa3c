//! The statistics of all sockets of the load.

use std::collections::VecDeque;

use crate::statistics::LatencyHistogram;

/// Faults that must never occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Events that never arrived.
    pub lost: u64,
    /// Events that arrived more than once.
    pub doubled: u64,
    /// Events that arrived after a later event.
    pub reordered: u64,
}

impl Flaws {
    /// Adds other faults.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
    }
}

/// The counters of all sockets.
#[derive(Default)]
pub struct LoadStats {
    /// The number of refusals by an overloaded server. Each refused socket reconnects later.
    pub refusals: u64,
    /// The faults of all sockets.
    pub flaws: Flaws,
    /// The number of deliveries to sockets that count.
    pub deliveries: u64,
    /// The number of reads with deliveries. The server needed at least as many writes.
    pub reads: u64,
    /// The number of replies.
    pub replies: u64,
    /// The number of sockets that were ready at some time.
    pub ready_sockets: usize,
    /// The times from an event's due time until a socket received the event.
    pub latency: LatencyHistogram,
    /// The times from a request to its reply.
    pub reply_times: LatencyHistogram,
    /// The times from the start of a connection until its socket was ready.
    pub ready_times: LatencyHistogram,
    /// The errors of failed sockets.
    pub socket_errors: Vec<String>,
    groups: Vec<GroupStats>,
}

#[derive(Default)]
struct GroupStats {
    /// The number of sockets whose deliveries count.
    listeners: u64,
    /// The number of sent messages.
    sent: u64,
    /// The number of messages that all sockets have received.
    fully_delivered: u64,
    /// For each later message, the number of sockets that have received it.
    deliveries: VecDeque<u64>,
    /// The highest seq in a reply to a sender. A baseline server assigns no seqs, so this stays
    /// `None` there.
    last_seq: Option<u64>,
}

impl GroupStats {
    fn record_delivery(&mut self, nth: u64) {
        let index = nth.checked_sub(self.fully_delivered);
        let Some(index) = index.and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        if self.deliveries.len() <= index {
            self.deliveries.resize(index + 1, 0);
        }
        if let Some(count) = self.deliveries.get_mut(index) {
            *count += 1;
        }
        while self.deliveries.front() == Some(&self.listeners) {
            self.deliveries.pop_front();
            self.fully_delivered += 1;
        }
    }
}

impl LoadStats {
    /// Records that a socket is being opened in a group.
    pub fn record_open(&mut self, group: usize, is_measured: bool) {
        let group = self.group(group);
        group.listeners += u64::from(is_measured);
    }

    /// Records that a socket is ready, with the time since its opening started.
    pub fn record_ready(&mut self, after: u64) {
        self.ready_sockets += 1;
        self.ready_times.record(after);
    }

    /// Records a message that was sent to a group.
    pub fn record_send(&mut self, group: usize) {
        self.group(group).sent += 1;
    }

    /// Records that a socket that counts received the `nth` message of its group, counted from 0.
    pub fn record_delivery(&mut self, group: usize, nth: u64, latency: Option<u64>) {
        self.deliveries += 1;
        self.group(group).record_delivery(nth);
        if let Some(latency) = latency {
            self.latency.record(latency);
        }
    }

    /// Records a reply, with the seq of its event and the time since the request.
    pub fn record_reply(&mut self, group: usize, seq: Option<u64>, after: u64) {
        self.replies += 1;
        self.reply_times.record(after);
        let group = self.group(group);
        group.last_seq = group.last_seq.max(seq);
    }

    /// Returns the seq of the last event of a group, as far as its senders know it.
    #[must_use]
    pub fn last_seq(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.last_seq.unwrap_or(group.sent))
    }

    /// Returns the number of a group's messages that some socket has not received.
    #[must_use]
    pub fn in_flight(&self, group: usize) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.sent.saturating_sub(group.fully_delivered))
    }

    /// Returns `true` if every socket has received all messages.
    #[must_use]
    pub fn is_all_delivered(&self) -> bool {
        (0..self.groups.len()).all(|group| self.in_flight(group) == 0)
    }

    /// Sets the seq of the last event of a group to which another load has sent.
    pub fn set_last_seq(&mut self, group: usize, last: u64) {
        let group = self.group(group);
        group.last_seq = group.last_seq.max(Some(last));
    }

    /// Resets the counters. The faults and the positions in the groups remain.
    pub fn reset(&mut self) {
        (self.deliveries, self.reads, self.replies) = (0, 0, 0);
        self.latency.clear();
        self.reply_times.clear();
    }

    fn group(&mut self, index: usize) -> &mut GroupStats {
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, GroupStats::default);
        }
        // The resize has created the group if it was missing.
        match self.groups.get_mut(index) {
            Some(group) => group,
            None => unreachable!("groups were resized"),
        }
    }
}
