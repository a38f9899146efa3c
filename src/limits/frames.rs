//! The rate limit of the frames of one socket. No I/O.
//!
//! A frame above the limit is not refused: the socket is not read until the frame is within the limit. So the
//! limit costs an idle socket 24 bytes and no task.

use std::time::Duration;

use tokio::time::Instant;

/// The burst: the frames of this time at the limit may come at once.
const BURST_WINDOW: Duration = Duration::from_secs(2);

/// Counts the frames of one socket, of every kind, by a leaky bucket (GCRA).
pub struct FrameRateLimiter {
    /// The time at which the bucket is empty.
    empty_at: Instant,
    /// The nanoseconds in which one frame leaks.
    nanos_per_frame: u32,
    /// The frames that were read at the limit, since the bucket was last empty.
    throttled_frames: u32,
}

impl FrameRateLimiter {
    /// Allows `per_second` frames a second. Settings allow no 0.
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

    /// Returns the time until which the socket must not be read; `None` if it may be read now.
    #[must_use]
    pub fn throttled_until(&self, now: Instant) -> Option<Instant> {
        let until = self.empty_at.checked_sub(BURST_WINDOW)?;
        (until > now).then_some(until)
    }

    /// Returns for how long the socket was throttled in all, since the bucket was last empty.
    #[must_use]
    pub fn over_limit_for(&self) -> Duration {
        Duration::from_nanos(self.nanos_per_frame.into()) * self.throttled_frames
    }
}
