//! How much one client may ask of this node: what protects the node, counted by the node alone.
//!
//! What protects an account, and so is counted by all nodes together, stands in [`crate::logins`].

mod frame_rate_limiter;
mod log_throttle;
mod network_counts;
mod rate_limiter;
mod socket_limiter;

use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::{
    frame_rate_limiter::FrameRateLimiter,
    log_throttle::LogThrottle,
    network_counts::NetworkCounts,
    rate_limiter::{KeyedRateLimiter, NetworkRateLimiter, RateLimited, site_of},
    socket_limiter::{SocketLimiter, SocketPermit, TooManySockets},
};
use crate::settings::LimitSettings;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The rate limits of requests. Those of a network count IPv6 by its /64, and by its /48 together.
pub struct RequestLimits {
    pub registrations: NetworkRateLimiter,
    pub logins: NetworkRateLimiter,
    pub refreshes: NetworkRateLimiter,
    /// Sockets and streams that are opened.
    pub sockets: NetworkRateLimiter,
    /// Requests of a user that read.
    pub reads: KeyedRateLimiter<i64>,
    /// Requests of a network that read, with and without an account.
    pub network_reads: NetworkRateLimiter,
    /// Chats that a user starts.
    pub group_creations: KeyedRateLimiter<i64>,
    /// Invites that a user makes.
    pub invite_creations: KeyedRateLimiter<i64>,
    /// Changes of what is no message.
    pub changes: KeyedRateLimiter<i64>,
    /// The same without an account.
    pub network_changes: NetworkRateLimiter,
    /// Long pages that are read from the database at once. Each takes some megabytes while it is read, and
    /// more of them at once are not read faster.
    pub long_page_reads: Semaphore,
}

/// Long pages that are read at once.
const MAX_LONG_PAGE_READS: usize = 4;

impl RequestLimits {
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            registrations: NetworkRateLimiter::new(settings.registrations_per_hour, HOUR),
            logins: NetworkRateLimiter::new(settings.logins_per_minute, MINUTE),
            refreshes: NetworkRateLimiter::new(settings.refreshes_per_minute, MINUTE),
            sockets: NetworkRateLimiter::new(settings.sockets_per_minute, MINUTE),
            reads: KeyedRateLimiter::new(settings.reads_per_10s, TEN_SECONDS),
            network_reads: NetworkRateLimiter::new(settings.network_reads_per_10s, TEN_SECONDS),
            group_creations: KeyedRateLimiter::new(settings.starts_per_hour, HOUR),
            invite_creations: KeyedRateLimiter::new(settings.invites_per_hour, HOUR),
            changes: KeyedRateLimiter::new(settings.changes_per_minute, MINUTE),
            network_changes: NetworkRateLimiter::new(settings.changes_per_minute, MINUTE),
            long_page_reads: Semaphore::new(MAX_LONG_PAGE_READS),
        }
    }
}
