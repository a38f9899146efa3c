//! One group's order on this node: what comes out is each event once, in the order of the log,
//! however it came in. No I/O.

use std::collections::BTreeMap;

/// Events that may wait for a missing one. What is over is dropped: whoever heals the gap reads it
/// from the log again.
const AHEAD: usize = 1024;

pub struct Order<T> {
    /// The number of the last event that came out.
    last: i64,
    /// What came before its turn.
    ahead: BTreeMap<i64, T>,
}

impl<T> Order<T> {
    /// An order in which `last` and all before it are taken as told.
    #[must_use]
    pub fn after(last: i64) -> Self {
        Self {
            last,
            ahead: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Takes the event with this number, and gives what may be told now, it and those that waited
    /// for it. What was told already, or waits already, is dropped.
    pub fn arrive(&mut self, seq: i64, event: T) -> Vec<T> {
        if seq > self.last && (self.ahead.len() < AHEAD || seq == self.last + 1) {
            self.ahead.entry(seq).or_insert(event);
        }
        let mut now = Vec::new();
        while let Some(event) = self.ahead.remove(&(self.last + 1)) {
            self.last += 1;
            now.push(event);
        }
        now
    }

    /// Whether an event is missing, and others wait for it.
    #[must_use]
    pub fn is_gapped(&self) -> bool {
        !self.ahead.is_empty()
    }
}
