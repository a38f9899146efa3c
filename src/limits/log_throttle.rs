//! Throttled warnings, so that no client can fill the log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The number of clients and reasons that [`ClientLogThrottle`] distinguishes.
const MAX_CLIENTS: usize = 1000;

/// A limit of one warning of a kind in 10 s.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<LogThrottleState>);

#[derive(Debug, Default)]
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
        state.allow(Instant::now())
    }
}

impl LogThrottleState {
    fn allow(&mut self, now: Instant) -> Option<u64> {
        if !self.is_due(now) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL)
    }
}

/// A limit of one warning in 10 s for each client and reason, and of some 1,000 warnings in 10 s altogether.
#[derive(Default)]
pub struct ClientLogThrottle(Mutex<ClientLogState>);

#[derive(Default)]
struct ClientLogState {
    clients: HashMap<(IpNet, &'static str), LogThrottleState>,
    /// The throttle of all clients that have no place in `clients`.
    others: LogThrottleState,
}

impl ClientLogThrottle {
    /// Returns the number of warnings of a client for this reason that were suppressed since the last one, if another
    /// one may be logged now.
    pub fn allow(&self, network: IpNet, reason: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ClientLogState { clients, others } = &mut *state;
        let key = (network, reason);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&key) {
            clients.retain(|_, client| !client.is_due(now));
            if clients.len() >= MAX_CLIENTS {
                return others.allow(now);
            }
        }
        clients.entry(key).or_default().allow(now)
    }
}
