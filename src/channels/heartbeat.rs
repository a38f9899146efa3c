//! Whether a silent peer is still there (RFC 6455, sections 5.5.2 and 5.5.3). No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// When to ask a silent peer whether it is there, and when to give it up.
pub(super) struct Heartbeat {
    ping_every: Duration,
    pong_timeout: Duration,
    /// When to look again.
    pub due: Instant,
    /// Whether anything came since the last look.
    heard: bool,
    /// Whether a ping is out that nothing has come after.
    asked: bool,
}

pub(super) enum Beat {
    Rest,
    Ping,
    Dead,
}

impl Heartbeat {
    pub fn new(ping_every: Duration, pong_timeout: Duration) -> Self {
        let due = Instant::now() + ping_every;
        Self {
            ping_every,
            pong_timeout,
            due,
            heard: false,
            asked: false,
        }
    }

    pub fn heard(&mut self) {
        self.heard = true;
    }

    pub fn tick(&mut self) -> Beat {
        let beat = match (self.heard, self.asked) {
            (true, _) => Beat::Rest,
            (false, false) => Beat::Ping,
            (false, true) => Beat::Dead,
        };
        self.heard = false;
        self.asked = matches!(beat, Beat::Ping);
        self.due = Instant::now()
            + if self.asked {
                self.pong_timeout
            } else {
                self.ping_every
            };
        beat
    }
}
