//! The heartbeat of a socket: pings to a silent client (RFC 6455, sections 5.5.2 and 5.5.3). No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// Decides when to ping a silent client, and when to close its socket.
pub(super) struct Heartbeat {
    ping_every: Duration,
    pong_timeout: Duration,
    /// The time of the next check.
    pub next_check: Instant,
    /// `true` if a frame has arrived since the last check.
    has_received: bool,
    /// `true` if no frame has arrived since the last ping.
    is_ping_pending: bool,
}

/// The result of a check.
pub(super) enum HeartbeatAction {
    Wait,
    Ping,
    Close,
}

impl Heartbeat {
    /// A heartbeat whose first check is due after `ping_every`.
    pub fn new(ping_every: Duration, pong_timeout: Duration) -> Self {
        let next_check = Instant::now() + ping_every;
        Self {
            ping_every,
            pong_timeout,
            next_check,
            has_received: false,
            is_ping_pending: false,
        }
    }

    /// Notes that a frame has arrived.
    pub fn record_received(&mut self) {
        self.has_received = true;
    }

    /// Runs a check that is due.
    pub fn tick(&mut self) -> HeartbeatAction {
        let action = match (self.has_received, self.is_ping_pending) {
            (true, _) => HeartbeatAction::Wait,
            (false, false) => HeartbeatAction::Ping,
            (false, true) => HeartbeatAction::Close,
        };
        self.has_received = false;
        self.is_ping_pending = matches!(action, HeartbeatAction::Ping);
        self.next_check = Instant::now()
            + if self.is_ping_pending {
                self.pong_timeout
            } else {
                self.ping_every
            };
        action
    }
}
