//! Whether one listener is told each number once and in order.

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    /// It was passed over before, and comes after all.
    Late,
    Duplicate,
}

/// The place of one listener in the numbers 1, 2, 3 … of a group.
#[derive(Debug)]
pub struct OrderCheck {
    next: u64,
    /// Those below `next` that have not come.
    missing: Vec<u64>,
}

impl OrderCheck {
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self {
            next: last + 1,
            missing: Vec::new(),
        }
    }

    pub fn record(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return Arrival::InOrder;
        }
        match self.missing.iter().position(|&hole| hole == number) {
            Some(hole) => {
                self.missing.swap_remove(hole);
                Arrival::Late
            }
            None => Arrival::Duplicate,
        }
    }

    /// How many have not come, of those up to the last.
    #[must_use]
    pub fn missing_count(&self, last: u64) -> u64 {
        let holes = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        holes + (last + 1).saturating_sub(self.next)
    }
}
