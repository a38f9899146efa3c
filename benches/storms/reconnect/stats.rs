//! The counters of a simulation.

use crate::{clock::Nanos, core_pool::Samples};

/// The counters of a simulation.
#[derive(Default)]
pub struct ReconnectStats {
    /// The times for which clients missed events.
    pub absences: Samples,
    /// The number of clients that did not reconnect before the end.
    pub still_away: u64,
    /// The time at which the last client reconnected.
    pub last_return: Nanos,
    /// The number of attempts to connect.
    pub attempts: u64,
    /// The number of attempts that clients gave up after a timeout.
    pub timed_out: u64,
    /// The number of requests that a node rejected.
    ///
    /// The node was full, the network was rate limited, or the database was too slow.
    pub rejected: u64,
    /// The number of log pages that were read because an event buffer did not contain the events.
    pub log_pages: u64,
    /// The number of rooms that were opened.
    pub new_rooms: u64,
}
