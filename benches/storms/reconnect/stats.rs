//! What is counted while it happens.

use crate::{clock::Nanos, core_pool::Samples};

#[derive(Default)]
pub struct ReconnectStats {
    /// How long clients missed what happened.
    pub absences: Samples,
    /// Of them, those who did not come back while it was simulated.
    pub still_away: u64,
    /// When the last of them was back.
    pub last_return: Nanos,
    pub attempts: u64,
    /// Tries that clients ended because they had waited for too long.
    pub timed_out: u64,
    /// Requests that a node refused: it was full, the client's network too fast, or the database
    /// too slow.
    pub rejected: u64,
    /// Pages of logs that were read because no ring had them.
    pub log_pages: u64,
    /// Groups that became active on a node.
    pub new_rooms: u64,
}
