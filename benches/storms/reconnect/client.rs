//! A simulated client, which behaves like `assets/static/client/connection.js` and
//! `docs/protocol.md`.

use crate::{
    clock::{MILLISECOND, Nanos, SECOND},
    rng::Rng,
};

/// The range of the first backoff: `INITIAL_BACKOFF_MS` of `src/channels/protocol/rich.rs`.
pub const INITIAL_BACKOFF: [Nanos; 2] = [0, 5 * SECOND];
/// The range of the first backoff after the `bye` of a stopping server: `RESTART_BACKOFF_MS` of the
/// same file.
pub const RESTART_BACKOFF: [Nanos; 2] = [0, 8 * SECOND];
/// The longest backoff: `MAX_BACKOFF_MS` of `src/channels/protocol/hello.rs`.
const MAX_BACKOFF: Nanos = 20 * SECOND;

/// The timeout of `hello`: `HELLO_TIMEOUT` of the client.
pub const HELLO_TIMEOUT: Nanos = 10 * SECOND;
/// The timeout of a reply: `REPLY_TIMEOUT` of the client.
pub const REPLY_TIMEOUT: Nanos = 15 * SECOND;

/// A client with one socket.
pub struct SimulatedClient {
    /// The node of the current or the last connection.
    pub node: usize,
    /// `true` if the client is connected.
    pub is_connected: bool,
    /// The number of lost connections. Steps that were scheduled for an earlier connection are
    /// ignored.
    pub connection_count: u32,
    /// `true` if the client is subscribed to its groups.
    pub is_subscribed: bool,
    /// `true` if the client needs a new access token first.
    pub is_token_expired: bool,
    /// The number of failed attempts since the last reset of the backoff.
    failed_attempts: u32,
    /// The time at which the client gives up the current step.
    pub deadline: Nanos,
    /// The groups whose members the node must count.
    pub groups_to_count: u64,
    /// The logs of which the node must read a page.
    pub pages_to_read: u64,
    /// The time since which the client misses events.
    pub away_since: Option<Nanos>,
}

impl SimulatedClient {
    /// Creates a connected and subscribed client.
    pub fn connected_to(node: usize) -> Self {
        Self {
            node,
            is_connected: true,
            connection_count: 0,
            is_subscribed: true,
            is_token_expired: false,
            failed_attempts: 0,
            deadline: 0,
            groups_to_count: 0,
            pages_to_read: 0,
            away_since: None,
        }
    }

    /// Resets the backoff, so that the next loss counts as the first.
    pub fn reset_backoff(&mut self) {
        self.failed_attempts = 0;
    }

    /// Returns the backoff before the next attempt.
    pub fn backoff(&mut self, first_range: [Nanos; 2], has_jitter: bool, rng: &mut Rng) -> Nanos {
        let max = (INITIAL_BACKOFF[1] << self.failed_attempts.min(8)).min(MAX_BACKOFF);
        let [low, high] = if self.failed_attempts == 0 {
            first_range
        } else {
            [0, max]
        };
        self.failed_attempts += 1;
        if has_jitter {
            low + rng.below(high - low)
        } else if self.failed_attempts == 1 {
            // A client without jitter retries at once, and then with increasing pauses.
            10 * MILLISECOND
        } else {
            high
        }
    }
}
