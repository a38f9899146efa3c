//! Whether a peer types, as far as others are told of it. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// Others are told again that somebody types after this, and not more often. Clients say so every 3 s, and the
/// other nodes forget it after 5.5 s.
const BROADCAST_INTERVAL: Duration = Duration::from_millis(2500);

/// Who has not said so again by then does not type any more.
const TYPING_TIMEOUT: Duration = Duration::from_secs(6);

/// What others know, and since when.
#[derive(Debug, Default)]
pub(super) struct TypingState {
    /// When it ends, if it is on.
    expires_at: Option<Instant>,
    /// When others were last told that it is on.
    last_broadcast: Option<Instant>,
}

impl TypingState {
    /// When it ends by itself.
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Turns it on or off, and says whether others are to be told.
    pub fn update(&mut self, on: bool, now: Instant) -> bool {
        if !on {
            return self.expires_at.take().is_some();
        }
        let was_told_lately = self
            .last_broadcast
            .is_some_and(|told| now < told + BROADCAST_INTERVAL);
        if was_told_lately && self.expires_at.is_none() {
            // On and off again and again: others have heard enough of it for now.
            return false;
        }
        self.expires_at = Some(now + TYPING_TIMEOUT);
        if was_told_lately {
            return false;
        }
        self.last_broadcast = Some(now);
        true
    }
}
