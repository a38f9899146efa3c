//! What anybody can bring about from outside must not fill the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(10);

/// A warning that is given once in a while.
#[derive(Default)]
pub(super) struct Seldom(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    unheard: u64,
}

impl Seldom {
    /// If it is time for the warning, how many were not given since the last.
    pub(super) fn now(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < EVERY) {
            state.unheard += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.unheard))
    }
}
