//! The times at which refused clients retry.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest and the longest time that a refused client waits.
const MIN_RETRY: Duration = Duration::from_millis(500);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Assigns each refused client a later time than the last one, so that the clients retry at the rate of the server.
///
/// The times grow with the number of refused clients, up to 60 s.
#[derive(Debug, Default)]
pub struct RetrySchedule {
    /// The time at which the last refused client retries.
    last: Option<Instant>,
}

impl RetrySchedule {
    /// Returns the wait of the next refused client before its retry.
    ///
    /// `backlog` is the time that the clients in the queue take, and `rate` the number of clients served in a second.
    pub fn next_retry(&mut self, now: Instant, backlog: Duration, rate: f64) -> Duration {
        let earliest = now + backlog.clamp(MIN_RETRY, MAX_RETRY);
        let slot = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(MAX_RETRY);
        let next = self.last.map_or(earliest, |last| earliest.max(last + slot));
        let next = next.min(now + MAX_RETRY);
        self.last = Some(next);
        next - now
    }
}
