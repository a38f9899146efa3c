//! What work waits at: the cores of a node, of the database, of Redis. Who comes first is served
//! first.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::clock::{Nanos, SECOND};

pub struct CorePool {
    /// When each core is free again.
    cores: BinaryHeap<Reverse<Nanos>>,
    pub longest_wait: Nanos,
    pub work: PerSecond,
}

impl CorePool {
    pub fn new(cores: u32) -> Self {
        Self {
            cores: (0..cores.max(1)).map(|_| Reverse(0)).collect(),
            longest_wait: 0,
            work: PerSecond::default(),
        }
    }

    /// Takes work on, and says when it will be done.
    pub fn run(&mut self, now: Nanos, work: Nanos) -> Nanos {
        let Reverse(free) = self.cores.pop().unwrap_or(Reverse(now));
        let begin = free.max(now);
        self.longest_wait = self.longest_wait.max(begin - now);
        self.work.add(begin, work);
        self.cores.push(Reverse(begin + work));
        begin + work
    }

    /// The same of work that does not wait for longer than this, and is withdrawn where it would
    /// have to.
    pub fn run_if_wait_within(
        &mut self,
        now: Nanos,
        work: Nanos,
        patience: Nanos,
    ) -> Option<Nanos> {
        (self.wait_time(now) <= patience).then(|| self.run(now, work))
    }

    /// How long work that comes now waits.
    pub fn wait_time(&self, now: Nanos) -> Nanos {
        self.cores
            .peek()
            .map_or(0, |Reverse(free)| free.saturating_sub(now))
    }
}

/// How much there was in each second.
#[derive(Default)]
pub struct PerSecond(Vec<u64>);

impl PerSecond {
    pub fn add(&mut self, at: Nanos, amount: u64) {
        let second = usize::try_from(at / SECOND).unwrap_or(usize::MAX - 1);
        if self.0.len() <= second {
            self.0.resize(second + 1, 0);
        }
        if let Some(sum) = self.0.get_mut(second) {
            *sum += amount;
        }
    }

    pub fn peak(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Many values, of which some are shown.
#[derive(Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn add(&mut self, value: u64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which so many of 1000 are, for each of these; 1000 is the largest.
    pub fn per_mille<const N: usize>(mut self, per_mille: [usize; N]) -> [u64; N] {
        self.0.sort_unstable();
        per_mille.map(|share| {
            let place = (self.0.len() * share).div_ceil(1000).max(1) - 1;
            self.0.get(place).copied().unwrap_or(0)
        })
    }
}
