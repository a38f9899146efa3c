//! How much one client may ask of this node: what protects the node, counted by the node alone.
//!
//! What protects an account, and so is counted by all nodes together, stands in [`crate::logins`].

mod log_throttle;
mod network_counts;
mod pace;
mod rates;
mod seats;

use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::{
    log_throttle::LogThrottle,
    network_counts::NetworkCounts,
    pace::Pace,
    rates::{NetworkRates, Rates, TooFast, site_of},
    seats::{Full, Seat, Seats},
};
use crate::settings::LimitSettings;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The rate limits of requests. Those of a network count IPv6 by its /64, and by its /48 together.
pub struct Limits {
    pub registrations: NetworkRates,
    pub logins: NetworkRates,
    pub refreshes: NetworkRates,
    /// Sockets and streams that are opened.
    pub sockets: NetworkRates,
    /// Requests of a user that read.
    pub reads: Rates<i64>,
    /// Requests of a network that read, with and without an account.
    pub network_reads: NetworkRates,
    /// Chats that a user starts.
    pub starts: Rates<i64>,
    /// Invites that a user makes.
    pub invites: Rates<i64>,
    /// Changes of what is no message.
    pub changes: Rates<i64>,
    /// The same without an account.
    pub network_changes: NetworkRates,
    /// Long pages that are read from the database at once. Each takes some megabytes while it is read, and
    /// more of them at once are not read faster.
    pub pages: Semaphore,
}

/// Long pages that are read at once.
const PAGES_AT_ONCE: usize = 4;

impl Limits {
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            registrations: NetworkRates::new(settings.registrations_per_hour, HOUR),
            logins: NetworkRates::new(settings.logins_per_minute, MINUTE),
            refreshes: NetworkRates::new(settings.refreshes_per_minute, MINUTE),
            sockets: NetworkRates::new(settings.sockets_per_minute, MINUTE),
            reads: Rates::new(settings.reads_per_10s, TEN_SECONDS),
            network_reads: NetworkRates::new(settings.network_reads_per_10s, TEN_SECONDS),
            starts: Rates::new(settings.starts_per_hour, HOUR),
            invites: Rates::new(settings.invites_per_hour, HOUR),
            changes: Rates::new(settings.changes_per_minute, MINUTE),
            network_changes: NetworkRates::new(settings.changes_per_minute, MINUTE),
            pages: Semaphore::new(PAGES_AT_ONCE),
        }
    }
}
