//! What is counted while it happens.

use crate::{clock::Nanos, station::Spread};

#[derive(Default)]
pub struct Tally {
    /// How long clients missed what happened.
    pub absences: Spread,
    /// Of them, those who did not come back while it was simulated.
    pub still_away: u64,
    /// When the last of them was back.
    pub last: Nanos,
    pub tries: u64,
    /// Tries that clients ended because they had waited for too long.
    pub given_up: u64,
    /// Requests that a node refused: it was full, the client's network too fast, or the database
    /// too slow.
    pub refused: u64,
    /// Pages of logs that were read because no ring had them.
    pub pages: u64,
    /// Groups that became active on a node.
    pub new_rooms: u64,
}
