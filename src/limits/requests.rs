//! The rate limits of requests.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::RateLimiter;
use crate::settings::LimitSettings;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The largest number of long pages that are read at once.
const MAX_LONG_PAGE_READS: usize = 4;

/// The rate limits of requests. The name of each field is the limited action.
pub struct RequestLimits {
    /// Registrations of a network.
    pub registrations: RateLimiter,
    /// Login attempts of a network.
    pub logins: RateLimiter,
    /// Refreshed tokens of a network.
    pub refreshes: RateLimiter,
    /// Sockets and event streams that a network opens.
    pub sockets: RateLimiter,
    /// Requests of a user that read.
    pub reads: RateLimiter,
    /// Requests of a network that read, with and without an account.
    pub network_reads: RateLimiter,
    /// Groups that a user creates.
    pub group_creations: RateLimiter,
    /// Invites that a user creates.
    pub invite_creations: RateLimiter,
    /// Other changes of a user.
    pub changes: RateLimiter,
    /// The same of a network, at endpoints without a login.
    pub network_changes: RateLimiter,
    /// Long pages that are read from the database at once.
    ///
    /// Each page takes some megabytes while it is read, and more than a few at once are not read faster.
    pub long_page_reads: Semaphore,
}

impl RequestLimits {
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            registrations: RateLimiter::new("registrations", settings.registrations_per_hour, HOUR),
            logins: RateLimiter::new("logins", settings.logins_per_minute, MINUTE),
            refreshes: RateLimiter::new("refreshes", settings.refreshes_per_minute, MINUTE),
            sockets: RateLimiter::new("sockets", settings.sockets_per_minute, MINUTE),
            reads: RateLimiter::new("reads", settings.reads_per_10s, TEN_SECONDS),
            network_reads: RateLimiter::new(
                "network_reads",
                settings.network_reads_per_10s,
                TEN_SECONDS,
            ),
            group_creations: RateLimiter::new("group_creations", settings.starts_per_hour, HOUR),
            invite_creations: RateLimiter::new("invite_creations", settings.invites_per_hour, HOUR),
            changes: RateLimiter::new("changes", settings.changes_per_minute, MINUTE),
            network_changes: RateLimiter::new(
                "network_changes",
                settings.changes_per_minute,
                MINUTE,
            ),
            long_page_reads: Semaphore::new(MAX_LONG_PAGE_READS),
        }
    }
}
