//! The position at which a client continues to read a log.

use crate::{channels::protocol::rich::ResetReason, metrics::METRICS};

/// The position at which a client resumes a group.
#[derive(Debug, Default)]
pub struct ResumePoint {
    /// The seq of the last event that the client has.
    pub after: Option<i64>,
    /// The epoch in which the client received it.
    pub epoch: Option<String>,
}

impl ResumePoint {
    /// Returns the reason why the events from `after` to `head` are not replayed; `None` if they are. `epoch` is the
    /// current epoch, and `max_events` the number of events that are replayed at most.
    pub(super) fn reset_reason(
        &self,
        after: i64,
        head: i64,
        epoch: &str,
        max_events: i64,
    ) -> Option<ResetReason> {
        if self
            .epoch
            .as_ref()
            .is_some_and(|received| received != epoch)
        {
            Some(ResetReason::Epoch)
        } else if after > head {
            Some(ResetReason::Ahead)
        } else if head - after > max_events {
            Some(ResetReason::TooFar)
        } else {
            None
        }
    }
}

/// Counts the start of a subscription. `is_resumed` is `true` if the client has sent its position.
pub(super) fn record_resume(mode: &'static str, reset: Option<ResetReason>, is_resumed: bool) {
    let result = match (reset, is_resumed) {
        (Some(reason), _) => {
            METRICS.resets.inc([reason.code()]);
            "reset"
        }
        (None, true) => "replay",
        (None, false) => "live",
    };
    METRICS.resumes.inc([mode, result]);
}
