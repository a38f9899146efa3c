//! Queues for CPU cores, of a node, of the database, or of Redis. Work is served in the order of
//! its arrival.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::clock::{Nanos, SECOND};

/// A pool of cores, and its load over time.
pub struct CorePool {
    /// The time at which each core is free again.
    cores: BinaryHeap<Reverse<Nanos>>,
    /// The longest wait of any work.
    pub longest_wait: Nanos,
    /// The work of each second.
    pub work: PerSecond,
}

impl CorePool {
    /// Creates a pool of free cores, at least one.
    pub fn new(cores: u32) -> Self {
        Self {
            cores: (0..cores.max(1)).map(|_| Reverse(0)).collect(),
            longest_wait: 0,
            work: PerSecond::default(),
        }
    }

    /// Runs work on the next free core. Returns its end.
    pub fn run(&mut self, now: Nanos, work: Nanos) -> Nanos {
        let Reverse(free) = self.cores.pop().unwrap_or(Reverse(now));
        let start = free.max(now);
        self.longest_wait = self.longest_wait.max(start - now);
        self.work.add(start, work);
        self.cores.push(Reverse(start + work));
        start + work
    }

    /// Runs work if its wait is at most `max_wait`. Otherwise returns `None`.
    pub fn run_if_wait_within(
        &mut self,
        now: Nanos,
        work: Nanos,
        max_wait: Nanos,
    ) -> Option<Nanos> {
        (self.wait_time(now) <= max_wait).then(|| self.run(now, work))
    }

    /// Returns the wait of work that arrives now.
    pub fn wait_time(&self, now: Nanos) -> Nanos {
        self.cores
            .peek()
            .map_or(0, |Reverse(free)| free.saturating_sub(now))
    }
}

/// Sums for each second.
#[derive(Default)]
pub struct PerSecond(Vec<u64>);

impl PerSecond {
    /// Adds an amount to the second of a time.
    pub fn add(&mut self, at: Nanos, amount: u64) {
        let second = usize::try_from(at / SECOND).unwrap_or(usize::MAX - 1);
        if self.0.len() <= second {
            self.0.resize(second + 1, 0);
        }
        if let Some(sum) = self.0.get_mut(second) {
            *sum += amount;
        }
    }

    /// Returns the largest sum of a second.
    pub fn peak(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// Returns the sum of all seconds.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Collected values.
#[derive(Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.0.push(value);
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the values below which so many of 1000 values are. 1000 yields the largest value.
    pub fn per_mille<const N: usize>(mut self, per_mille: [usize; N]) -> [u64; N] {
        self.0.sort_unstable();
        per_mille.map(|share| {
            let index = (self.0.len() * share).div_ceil(1000).max(1) - 1;
            self.0.get(index).copied().unwrap_or(0)
        })
    }
}
