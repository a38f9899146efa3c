//! Simulated time, in whole nanoseconds: sums of them are the same on every machine.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1000 * MILLISECOND;

/// So many microseconds.
pub fn micros(micros: f64) -> Nanos {
    seconds(micros / 1e6)
}

pub fn seconds(seconds: f64) -> Nanos {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

pub fn to_seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}

/// What is to happen, and when. Of what happens at the same time, what was planned first comes
/// first.
pub struct EventQueue<E> {
    entries: BinaryHeap<Reverse<ScheduledEvent<E>>>,
    scheduled_count: u64,
    pub now: Nanos,
}

struct ScheduledEvent<E> {
    at: (Nanos, u64),
    event: E,
}

impl<E> EventQueue<E> {
    pub fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            scheduled_count: 0,
            now: 0,
        }
    }

    pub fn schedule(&mut self, at: Nanos, what: E) {
        self.scheduled_count += 1;
        let at = (at.max(self.now), self.scheduled_count);
        self.entries
            .push(Reverse(ScheduledEvent { at, event: what }));
    }

    /// Goes on to what happens next.
    pub fn next(&mut self) -> Option<E> {
        let Reverse(ScheduledEvent {
            at: (at, _),
            event: what,
        }) = self.entries.pop()?;
        self.now = at;
        Some(what)
    }
}

impl<E> Ord for ScheduledEvent<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl<E> PartialOrd for ScheduledEvent<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for ScheduledEvent<E> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<E> Eq for ScheduledEvent<E> {}
