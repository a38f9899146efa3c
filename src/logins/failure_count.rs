//! How long the next attempt must wait. No I/O, and no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use super::millis;
use crate::limits::RateLimited;

/// So many failures in a row cost nothing: nobody forgets which of their passwords it is more often.
const FREE_ATTEMPTS: u32 = 10;

const FIRST_WAIT: Duration = Duration::from_secs(1);

/// 1,440 guesses a day, which find nothing but the most common passwords, and those are refused.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Failures of so long ago count no more. Who waits for that and begins anew, with ten free ones,
/// guesses less often than who goes on once a minute.
const FAILURES_EXPIRE_AFTER: Duration = Duration::from_secs(60 * 60);

/// The longest wait in ms.
pub(super) fn max_wait_ms() -> i64 {
    millis(MAX_WAIT)
}

/// The numbers above, for who counts elsewhere by the same rule; times in ms.
pub(super) fn script_parameters() -> [i64; 4] {
    let [first, longest, forgotten] = [FIRST_WAIT, MAX_WAIT, FAILURES_EXPIRE_AFTER].map(millis);
    [FREE_ATTEMPTS.into(), first, longest, forgotten]
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureCount {
    pub failures: u32,
    /// When the last of them was.
    pub last_failure_at: Instant,
}

impl FailureCount {
    /// None yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            last_failure_at: now,
        }
    }

    /// What another counts by the same rule: failures in a row, and the ms that the next attempt must
    /// still wait, if it must.
    pub(super) fn from_script_reply(failures: i64, wait: i64, now: Instant) -> Self {
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let count = Self {
            failures,
            last_failure_at: now,
        };
        let left = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        let since = if left.is_zero() {
            Duration::ZERO
        } else {
            count.required_wait().saturating_sub(left)
        };
        let last_failure_at = now.checked_sub(since).unwrap_or(now);
        Self {
            failures,
            last_failure_at,
        }
    }

    /// Counts an attempt as failed, unless it must wait.
    ///
    /// # Errors
    /// [`RateLimited`] when it must, and it is not counted.
    pub fn record_attempt(&mut self, now: Instant) -> Result<(), RateLimited> {
        let since = now.saturating_duration_since(self.last_failure_at);
        if self.is_expired(now) {
            self.failures = 0;
        }
        let left = self.required_wait().saturating_sub(since);
        if !left.is_zero() {
            return Err(RateLimited(left));
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure_at = now;
        Ok(())
    }

    /// Takes the last attempt back: it had waited, and nobody waits for it. (One more guess for who
    /// guesses in the very moment in which nobody can look at a password is no loss.)
    pub fn undo(&mut self) {
        self.failures = self.failures.saturating_sub(1);
        self.last_failure_at = self
            .last_failure_at
            .checked_sub(MAX_WAIT)
            .unwrap_or(self.last_failure_at);
    }

    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_failure_at) >= FAILURES_EXPIRE_AFTER
    }

    /// How long after the last failure the next attempt may be.
    #[must_use]
    pub fn required_wait(&self) -> Duration {
        let Some(more) = self.failures.checked_sub(FREE_ATTEMPTS) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(more).unwrap_or(u32::MAX);
        FIRST_WAIT.saturating_mul(factor).min(MAX_WAIT)
    }
}
