//! How fast a socket may talk. No I/O; an idle socket pays 24 bytes for it.

use std::time::Duration;

use tokio::time::Instant;

/// So much may come at once: what comes in this time at the limit.
const BURST: Duration = Duration::from_secs(2);

/// The frames of one socket, of every kind: a bucket that leaks at the limit (GCRA).
pub struct Pace {
    /// When the bucket will be empty.
    empty_at: Instant,
    /// Nanoseconds in which one frame leaks.
    every: u32,
    /// Frames that came as fast as they were let in, since the bucket was last empty.
    excess: u32,
}

impl Pace {
    /// At most so many frames a second. (Settings have none of 0.)
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self {
            empty_at: now,
            every: 1_000_000_000 / per_second.max(1),
            excess: 0,
        }
    }

    /// Counts a frame.
    pub fn heard(&mut self, now: Instant) {
        if self.empty_at <= now {
            self.empty_at = now;
            self.excess = 0;
        }
        self.empty_at += Duration::from_nanos(self.every.into());
        if self.held_until(now).is_some() {
            self.excess = self.excess.saturating_add(1);
        }
    }

    /// Until when nothing more is to be read from the socket.
    #[must_use]
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        let until = self.empty_at.checked_sub(BURST)?;
        (until > now).then_some(until)
    }

    /// For how long, all in all, the socket was held back without ever being quiet.
    #[must_use]
    pub fn in_excess_for(&self) -> Duration {
        Duration::from_nanos(self.every.into()) * self.excess
    }
}
