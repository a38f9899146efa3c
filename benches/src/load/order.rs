//! Whether one listener is told each number once and in order.

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    /// It was passed over before, and comes after all.
    Late,
    Doubled,
}

/// The place of one listener in the numbers 1, 2, 3 … of a group.
#[derive(Debug)]
pub struct Order {
    next: u64,
    /// Those below `next` that have not come.
    holes: Vec<u64>,
}

impl Order {
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self {
            next: last + 1,
            holes: Vec::new(),
        }
    }

    pub fn arrived(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            self.holes.extend(self.next..number);
            self.next = number + 1;
            return Arrival::InOrder;
        }
        match self.holes.iter().position(|&hole| hole == number) {
            Some(hole) => {
                self.holes.swap_remove(hole);
                Arrival::Late
            }
            None => Arrival::Doubled,
        }
    }

    /// How many have not come, of those up to the last.
    #[must_use]
    pub fn missing(&self, last: u64) -> u64 {
        let holes = u64::try_from(self.holes.len()).unwrap_or(u64::MAX);
        holes + (last + 1).saturating_sub(self.next)
    }
}
