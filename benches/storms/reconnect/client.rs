//! A client as `assets/static/client/connection.js` is one, and `docs/protocol.md` wants it to be.

use crate::{
    clock::{MILLISECOND, Nanos, SECOND},
    rng::Rng,
};

/// The times between which the first try is made: `INITIAL_BACKOFF_MS` of `src/channels/protocol/rich.rs`.
pub const INITIAL_BACKOFF: [Nanos; 2] = [0, 5 * SECOND];
/// The same after the `bye` of a server that stops: `RESTART_BACKOFF_MS`, in the same file.
pub const RESTART_BACKOFF: [Nanos; 2] = [0, 8 * SECOND];
/// `MAX_BACKOFF_MS` of `src/channels/protocol/hello.rs`.
const MAX_BACKOFF: Nanos = 20 * SECOND;

/// How long it waits for `hello`, and for a reply: `HELLO_TIMEOUT` and `REPLY_TIMEOUT`.
pub const HELLO_TIMEOUT: Nanos = 10 * SECOND;
pub const REPLY_TIMEOUT: Nanos = 15 * SECOND;

pub struct SimulatedClient {
    /// The node that it was, or is, connected to.
    pub node: usize,
    pub is_connected: bool,
    /// Connections that it has lost: what was planned for an earlier one is void.
    pub connection_count: u32,
    /// Whether it has its places in groups there.
    pub is_subscribed: bool,
    /// Whether it must buy an access token first.
    pub is_token_expired: bool,
    /// Waits since all was well: since `hello`, as it is.
    failed_attempts: u32,
    /// When it must have heard what it waits for.
    pub deadline: Nanos,
    /// Groups of which its node must count the members, and logs of which it must read a page.
    pub groups_to_count: u64,
    pub pages_to_read: u64,
    /// Since when it misses what happens.
    pub away_since: Option<Nanos>,
}

impl SimulatedClient {
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

    /// The next loss is the first again.
    pub fn reset_backoff(&mut self) {
        self.failed_attempts = 0;
    }

    /// How long it waits before the next try.
    pub fn backoff(&mut self, first: [Nanos; 2], has_jitter: bool, chance: &mut Rng) -> Nanos {
        let longer = (INITIAL_BACKOFF[1] << self.failed_attempts.min(8)).min(MAX_BACKOFF);
        let [low, high] = if self.failed_attempts == 0 {
            first
        } else {
            [0, longer]
        };
        self.failed_attempts += 1;
        if has_jitter {
            low + chance.below(high - low)
        } else if self.failed_attempts == 1 {
            // As clients do that know nothing of it: at once, and then ever later.
            10 * MILLISECOND
        } else {
            high
        }
    }
}
