//! Simulated time in whole nanoseconds, whose sums are the same on every machine.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

/// A time or a duration in nanoseconds.
pub type Nanos = u64;

/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// One second.
pub const SECOND: Nanos = 1000 * MILLISECOND;

/// Converts microseconds to nanoseconds.
pub fn micros(micros: f64) -> Nanos {
    seconds(micros / 1e6)
}

/// Converts seconds to nanoseconds. Negative durations become 0.
pub fn seconds(seconds: f64) -> Nanos {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// Converts nanoseconds to seconds.
pub fn to_seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}

/// A queue of simulated events, ordered by time. Events of the same time keep the order of their
/// scheduling.
pub struct EventQueue<E> {
    entries: BinaryHeap<Reverse<ScheduledEvent<E>>>,
    scheduled_count: u64,
    /// The current simulated time.
    pub now: Nanos,
}

struct ScheduledEvent<E> {
    at: (Nanos, u64),
    event: E,
}

impl<E> EventQueue<E> {
    /// Creates an empty queue at time 0.
    pub fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            scheduled_count: 0,
            now: 0,
        }
    }

    /// Schedules an event, at the current time at the earliest.
    pub fn schedule(&mut self, at: Nanos, event: E) {
        self.scheduled_count += 1;
        let at = (at.max(self.now), self.scheduled_count);
        self.entries.push(Reverse(ScheduledEvent { at, event }));
    }

    /// Advances the time to the next event, and returns the event.
    pub fn next(&mut self) -> Option<E> {
        let Reverse(ScheduledEvent { at: (at, _), event }) = self.entries.pop()?;
        self.now = at;
        Some(event)
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
