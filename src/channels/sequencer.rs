//! One group's order on this node: what comes out is each event once, in the order of the log,
//! however it came in. No I/O.

use std::collections::BTreeMap;

/// Events that may wait for a missing one. What is over is dropped: whoever heals the gap reads it
/// from the log again.
const MAX_AHEAD: usize = 256;

pub struct Sequencer<T> {
    /// The number of the last event that came out.
    last_seq: i64,
    /// What came before its turn.
    ahead: BTreeMap<i64, T>,
    /// The highest number that ever came, whether it was kept or not.
    highest_seq: i64,
}

impl<T> Sequencer<T> {
    /// An order in which `last` and all before it are taken as told.
    #[must_use]
    pub fn starting_after(last_seq: i64) -> Self {
        Self {
            last_seq,
            ahead: BTreeMap::new(),
            highest_seq: last_seq,
        }
    }

    #[must_use]
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Takes an event with its number, and gives what may be told now, it and those that waited for
    /// it. What was told already, or waits already, is dropped.
    pub fn receive(&mut self, seq: i64, event: T) -> Vec<T> {
        self.highest_seq = self.highest_seq.max(seq);
        if seq > self.last_seq && (self.ahead.len() < MAX_AHEAD || seq == self.last_seq + 1) {
            self.ahead.entry(seq).or_insert(event);
        }
        self.take_ready()
    }

    /// Takes it from the log that no event up to and with this number is missing.
    pub fn advance_to(&mut self, seq: i64) {
        if seq > self.last_seq {
            self.last_seq = seq;
            self.highest_seq = self.highest_seq.max(seq);
            self.ahead = self.ahead.split_off(&(seq + 1));
        }
    }

    fn take_ready(&mut self) -> Vec<T> {
        let mut due = Vec::new();
        while let Some(event) = self.ahead.remove(&(self.last_seq + 1)) {
            self.last_seq += 1;
            due.push(event);
        }
        due
    }

    /// Whether an event is missing.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.highest_seq > self.last_seq
    }
}
