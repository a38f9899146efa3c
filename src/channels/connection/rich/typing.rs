//! Whether a peer types, as far as others are told of it. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// Others are told again that somebody types after this, and not more often. Clients say so every 3 s, and the
/// other nodes forget it after 5.5 s.
const TOLD_EVERY: Duration = Duration::from_millis(2500);

/// Who has not said so again by then does not type any more.
const LASTS: Duration = Duration::from_secs(6);

/// What others know, and since when.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// When it ends, if it is on.
    ends: Option<Instant>,
    /// When others were last told that it is on.
    told: Option<Instant>,
}

impl Typing {
    /// When it ends by itself.
    pub fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Turns it on or off, and says whether others are to be told.
    pub fn turn(&mut self, on: bool, now: Instant) -> bool {
        if !on {
            return self.ends.take().is_some();
        }
        let was_told_lately = self.told.is_some_and(|told| now < told + TOLD_EVERY);
        if was_told_lately && self.ends.is_none() {
            // On and off again and again: others have heard enough of it for now.
            return false;
        }
        self.ends = Some(now + LASTS);
        if was_told_lately {
            return false;
        }
        self.told = Some(now);
        true
    }
}
