//! Whether a silent peer is still there (RFC 6455, sections 5.5.2 and 5.5.3). No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// When to ask a silent peer whether it is there, and when to give it up.
pub(super) struct Heartbeat {
    ping_every: Duration,
    pong_timeout: Duration,
    /// When to look again.
    pub next_check: Instant,
    /// Whether anything came since the last look.
    has_received: bool,
    /// Whether a ping is out that nothing has come after.
    is_ping_pending: bool,
}

pub(super) enum HeartbeatAction {
    Wait,
    Ping,
    Close,
}

impl Heartbeat {
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

    pub fn record_received(&mut self) {
        self.has_received = true;
    }

    pub fn tick(&mut self) -> HeartbeatAction {
        let beat = match (self.has_received, self.is_ping_pending) {
            (true, _) => HeartbeatAction::Wait,
            (false, false) => HeartbeatAction::Ping,
            (false, true) => HeartbeatAction::Close,
        };
        self.has_received = false;
        self.is_ping_pending = matches!(beat, HeartbeatAction::Ping);
        self.next_check = Instant::now()
            + if self.is_ping_pending {
                self.pong_timeout
            } else {
                self.ping_every
            };
        beat
    }
}
