//! How fast a socket may talk. No I/O; an idle socket pays 24 bytes for it.

use std::time::Duration;

use tokio::time::Instant;

/// So much may come at once: what comes in this time at the limit.
const BURST_WINDOW: Duration = Duration::from_secs(2);

/// The frames of one socket, of every kind: a bucket that leaks at the limit (GCRA).
pub struct FrameRateLimiter {
    /// When the bucket will be empty.
    empty_at: Instant,
    /// Nanoseconds in which one frame leaks.
    nanos_per_frame: u32,
    /// Frames that came as fast as they were let in, since the bucket was last empty.
    throttled_frames: u32,
}

impl FrameRateLimiter {
    /// At most so many frames a second. (Settings have none of 0.)
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self {
            empty_at: now,
            nanos_per_frame: 1_000_000_000 / per_second.max(1),
            throttled_frames: 0,
        }
    }

    /// Counts a frame.
    pub fn record_frame(&mut self, now: Instant) {
        if self.empty_at <= now {
            self.empty_at = now;
            self.throttled_frames = 0;
        }
        self.empty_at += Duration::from_nanos(self.nanos_per_frame.into());
        if self.throttled_until(now).is_some() {
            self.throttled_frames = self.throttled_frames.saturating_add(1);
        }
    }

    /// Until when nothing more is to be read from the socket.
    #[must_use]
    pub fn throttled_until(&self, now: Instant) -> Option<Instant> {
        let until = self.empty_at.checked_sub(BURST_WINDOW)?;
        (until > now).then_some(until)
    }

    /// For how long, all in all, the socket was held back without ever being quiet.
    #[must_use]
    pub fn over_limit_for(&self) -> Duration {
        Duration::from_nanos(self.nanos_per_frame.into()) * self.throttled_frames
    }
}
