//! The wait after failed logins. No I/O, and no clock of its own.
//!
//! The scripts in this folder apply the same rule in Redis, with the constants of this file.

use std::time::Duration;

use tokio::time::Instant;

use super::millis;
use crate::limits::RateLimited;

/// The failures in a row that cost no wait. Users seldom forget more often which password they chose.
const FREE_ATTEMPTS: u32 = 10;

/// The wait after the first failure beyond [`FREE_ATTEMPTS`]. It doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait: 1,440 guesses a day. They find only the most common passwords, which registration refuses.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The time after which failures no longer count.
///
/// An attacker who waits for it gets ten free attempts an hour, which is fewer than one attempt a minute.
const FAILURES_EXPIRE_AFTER: Duration = Duration::from_secs(60 * 60);

/// Returns the constants of the rule as Lua variables; times in ms.
pub(super) fn lua_constants() -> String {
    format!(
        "local FREE_ATTEMPTS = {FREE_ATTEMPTS}\nlocal FIRST_WAIT = {}\nlocal MAX_WAIT = {}\n\
         local FAILURES_EXPIRE_AFTER = {}\n",
        millis(FIRST_WAIT),
        millis(MAX_WAIT),
        millis(FAILURES_EXPIRE_AFTER)
    )
}

/// A count of failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureCount {
    pub failures: u32,
    /// The time of the last failure.
    pub last_failure_at: Instant,
}

impl FailureCount {
    /// A count of 0.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            last_failure_at: now,
        }
    }

    /// Returns the count that a script returned: the failures in a row, and the ms until the next attempt.
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

    /// Counts an attempt as failed.
    ///
    /// # Errors
    /// [`RateLimited`] when the attempt must wait. Then it does not count.
    pub fn record_attempt(&mut self, now: Instant) -> Result<(), RateLimited> {
        let since = now.saturating_duration_since(self.last_failure_at);
        if self.is_expired(now) {
            self.failures = 0;
        }
        let retry_after = self.required_wait().saturating_sub(since);
        if !retry_after.is_zero() {
            return Err(RateLimited { retry_after });
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure_at = now;
        Ok(())
    }

    /// Takes back the last attempt, whose password was not checked. The next attempt need not wait.
    ///
    /// An attacker can gain one guess only while the queue for hashing is full.
    pub fn undo(&mut self) {
        self.failures = self.failures.saturating_sub(1);
        self.last_failure_at = self
            .last_failure_at
            .checked_sub(MAX_WAIT)
            .unwrap_or(self.last_failure_at);
    }

    /// Returns whether the failures no longer count.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_failure_at) >= FAILURES_EXPIRE_AFTER
    }

    /// Returns the time from the last failure to the next attempt that is allowed.
    #[must_use]
    pub fn required_wait(&self) -> Duration {
        let Some(more) = self.failures.checked_sub(FREE_ATTEMPTS) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(more).unwrap_or(u32::MAX);
        FIRST_WAIT.saturating_mul(factor).min(MAX_WAIT)
    }
}
