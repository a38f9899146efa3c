//! The typing state of a client in a group, as the other sockets know it. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two broadcasts that a user types. Clients send typing every 3 s, and nodes forget a
/// typing user after 5.5 s.
const BROADCAST_INTERVAL: Duration = Duration::from_millis(2500);

/// The time after which a client that has sent no further typing counts as stopped.
const TYPING_TIMEOUT: Duration = Duration::from_secs(6);

/// The typing of a client in one group.
#[derive(Debug, Default)]
pub(super) struct TypingState {
    /// The end of the typing, while the client types.
    expires_at: Option<Instant>,
    /// The time of the last broadcast that the client types.
    last_broadcast: Option<Instant>,
}

impl TypingState {
    /// The time at which the typing ends by itself.
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Starts or stops the typing. Returns `true` if the change must be broadcast.
    pub fn update(&mut self, on: bool, now: Instant) -> bool {
        if !on {
            return self.expires_at.take().is_some();
        }
        let is_recent = self
            .last_broadcast
            .is_some_and(|at| now < at + BROADCAST_INTERVAL);
        if is_recent && self.expires_at.is_none() {
            // A client that starts and stops again and again is broadcast at most as often as a client that types.
            return false;
        }
        self.expires_at = Some(now + TYPING_TIMEOUT);
        if is_recent {
            return false;
        }
        self.last_broadcast = Some(now);
        true
    }
}
