//! Throttled warnings, so that no client can fill the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A limit of one warning of a kind in 10 s.
#[derive(Default)]
pub struct LogThrottle(Mutex<LogThrottleState>);

#[derive(Default)]
struct LogThrottleState {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogThrottle {
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(LogThrottleState {
            last: None,
            suppressed: 0,
        }))
    }

    /// Returns the number of warnings that were suppressed since the last one, if another one may be
    /// logged now.
    pub fn allow(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}
