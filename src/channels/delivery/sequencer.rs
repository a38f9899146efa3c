//! The order of one group's events on this node. No I/O.
//!
//! Events arrive in any order, some of them twice. The sequencer returns each event once, in the order of the log.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
// A test may panic, and its numbers are small.
mod tests;

use std::collections::BTreeMap;

/// Events that may wait for a missing event. Further events are dropped: the gap repair reads them from the log.
const MAX_AHEAD: usize = 256;

/// A reorder buffer of events with consecutive numbers.
pub struct Sequencer<T> {
    /// The seq of the last event that was returned.
    last_seq: i64,
    /// The events that arrived before a missing event.
    ahead: BTreeMap<i64, T>,
    /// The highest seq that arrived, whether the event was kept or not.
    highest_seq: i64,
}

impl<T> Sequencer<T> {
    /// Starts after an event: the event and all events before it count as returned.
    #[must_use]
    pub fn starting_after(last_seq: i64) -> Self {
        Self {
            last_seq,
            ahead: BTreeMap::new(),
            highest_seq: last_seq,
        }
    }

    /// The seq of the last event that was returned.
    #[must_use]
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Takes an event and returns the events that are next in order, with those that waited for it. Drops an event
    /// that was returned or waits already.
    pub fn receive(&mut self, seq: i64, event: T) -> Vec<T> {
        self.highest_seq = self.highest_seq.max(seq);
        if seq > self.last_seq && (self.ahead.len() < MAX_AHEAD || seq == self.last_seq + 1) {
            self.ahead.entry(seq).or_insert(event);
        }
        self.take_ready()
    }

    /// Skips to a seq, because the log shows that no event up to this seq is missing.
    pub fn advance_to(&mut self, seq: i64) {
        if seq > self.last_seq {
            self.last_seq = seq;
            self.highest_seq = self.highest_seq.max(seq);
            self.ahead = self.ahead.split_off(&(seq + 1));
        }
    }

    fn take_ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(event) = self.ahead.remove(&(self.last_seq + 1)) {
            self.last_seq += 1;
            ready.push(event);
        }
        ready
    }

    /// Returns `true` while an event is missing.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.highest_seq > self.last_seq
    }
}
