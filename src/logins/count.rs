//! How long the next attempt must wait. No I/O, and no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use super::millis;
use crate::limits::TooFast;

/// So many failures in a row cost nothing: nobody forgets which of their passwords it is more often.
const FREE: u32 = 10;

const FIRST_WAIT: Duration = Duration::from_secs(1);

/// 1,440 guesses a day, which find nothing but the most common passwords, and those are refused.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Failures of so long ago count no more. Who waits for that and begins anew, with ten free ones,
/// guesses less often than who goes on once a minute.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// The longest wait in ms.
pub(super) fn longest_wait() -> i64 {
    millis(LONGEST_WAIT)
}

/// The numbers above, for who counts elsewhere by the same rule; times in ms.
pub(super) fn rule() -> [i64; 4] {
    let [first, longest, forgotten] = [FIRST_WAIT, LONGEST_WAIT, FORGOTTEN_AFTER].map(millis);
    [FREE.into(), first, longest, forgotten]
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub failures: u32,
    /// When the last of them was.
    pub at: Instant,
}

impl Count {
    /// None yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            at: now,
        }
    }

    /// What another counts by the same rule: failures in a row, and the ms that the next attempt must
    /// still wait, if it must.
    pub(super) fn told(failures: i64, wait: i64, now: Instant) -> Self {
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let count = Self { failures, at: now };
        let left = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        let since = if left.is_zero() {
            Duration::ZERO
        } else {
            count.wait().saturating_sub(left)
        };
        let at = now.checked_sub(since).unwrap_or(now);
        Self { failures, at }
    }

    /// Counts an attempt as failed, unless it must wait.
    ///
    /// # Errors
    /// [`TooFast`] when it must, and it is not counted.
    pub fn attempt(&mut self, now: Instant) -> Result<(), TooFast> {
        let since = now.saturating_duration_since(self.at);
        if self.is_forgotten(now) {
            self.failures = 0;
        }
        let left = self.wait().saturating_sub(since);
        if !left.is_zero() {
            return Err(TooFast(left));
        }
        self.failures = self.failures.saturating_add(1);
        self.at = now;
        Ok(())
    }

    /// Takes the last attempt back: it had waited, and nobody waits for it. (One more guess for who
    /// guesses in the very moment in which nobody can look at a password is no loss.)
    pub fn undo(&mut self) {
        self.failures = self.failures.saturating_sub(1);
        self.at = self.at.checked_sub(LONGEST_WAIT).unwrap_or(self.at);
    }

    #[must_use]
    pub fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= FORGOTTEN_AFTER
    }

    /// How long after the last failure the next attempt may be.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let Some(more) = self.failures.checked_sub(FREE) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(more).unwrap_or(u32::MAX);
        FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
    }
}
