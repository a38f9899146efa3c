//! Checks that a subscriber receives each seq once and in order.

/// The order of a received event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The event has a higher seq than all events before it.
    InOrder,
    /// The event arrived after a later event.
    Late,
    /// The event arrived before.
    Duplicate,
}

/// The received seqs of a subscriber in one group.
#[derive(Debug)]
pub struct OrderCheck {
    next: u64,
    /// The seqs below `next` that have not arrived.
    missing: Vec<u64>,
}

impl OrderCheck {
    /// Creates a check that expects the seqs after `last`.
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self {
            next: last + 1,
            missing: Vec::new(),
        }
    }

    /// Records a received seq.
    pub fn record(&mut self, seq: u64) -> Arrival {
        if seq >= self.next {
            self.missing.extend(self.next..seq);
            self.next = seq + 1;
            return Arrival::InOrder;
        }
        match self.missing.iter().position(|&missing| missing == seq) {
            Some(index) => {
                self.missing.swap_remove(index);
                Arrival::Late
            }
            None => Arrival::Duplicate,
        }
    }

    /// Returns the number of seqs up to `last` that have not arrived.
    #[must_use]
    pub fn missing_count(&self, last: u64) -> u64 {
        let missing = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        missing + (last + 1).saturating_sub(self.next)
    }
}
