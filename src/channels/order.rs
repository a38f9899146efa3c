//! One group's order on this node: what comes out is each event once, in the order of the log,
//! however it came in. No I/O.

use std::collections::BTreeMap;

/// Events that may wait for a missing one. What is over is dropped: whoever heals the gap reads it
/// from the log again.
const AHEAD: usize = 256;

pub struct Order<T> {
    /// The number of the last event that came out.
    last: i64,
    /// What came before its turn.
    ahead: BTreeMap<i64, T>,
    /// The highest number that ever came, whether it was kept or not.
    seen: i64,
}

impl<T> Order<T> {
    /// An order in which `last` and all before it are taken as told.
    #[must_use]
    pub fn after(last: i64) -> Self {
        Self {
            last,
            ahead: BTreeMap::new(),
            seen: last,
        }
    }

    #[must_use]
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Takes an event with its number, and gives what may be told now, it and those that waited for
    /// it. What was told already, or waits already, is dropped.
    pub fn arrive(&mut self, seq: i64, event: T) -> Vec<T> {
        self.seen = self.seen.max(seq);
        if seq > self.last && (self.ahead.len() < AHEAD || seq == self.last + 1) {
            self.ahead.entry(seq).or_insert(event);
        }
        self.due()
    }

    /// Takes it from the log that no event up to and with this number is missing.
    pub fn skip_to(&mut self, seq: i64) {
        if seq > self.last {
            self.last = seq;
            self.seen = self.seen.max(seq);
            self.ahead = self.ahead.split_off(&(seq + 1));
        }
    }

    fn due(&mut self) -> Vec<T> {
        let mut due = Vec::new();
        while let Some(event) = self.ahead.remove(&(self.last + 1)) {
            self.last += 1;
            due.push(event);
        }
        due
    }

    /// Whether an event is missing.
    #[must_use]
    pub fn is_gapped(&self) -> bool {
        self.seen > self.last
    }
}
