//! The limits of one client.

use serde::Deserialize;

use crate::limits::Quotas;

/// All limits are above 0. Limits of stored rows hold for all nodes together, the others for each
/// node.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// The accounts that one network may create in an hour. Failed attempts count.
    pub registrations_per_hour: u32,
    /// The login attempts of one network in a minute.
    pub logins_per_minute: u32,
    /// The access tokens that one network may get for refresh tokens in a minute.
    pub refreshes_per_minute: u32,
    /// The sockets and event streams that one network may open in a minute.
    pub sockets_per_minute: u32,
    /// The sockets, event streams and subscriptions that may start at the same time. Under load, fewer may start.
    pub starts_at_once: u32,
    /// Seconds for which a socket, an event stream or a subscription may wait for its start, when many clients connect
    /// at once. A client that would wait longer is refused, with the time after which the client retries.
    pub start_wait: u32,
    /// The sockets and event streams that one network may have open.
    pub sockets_per_network: u32,
    /// The sockets and event streams that one user may have open.
    pub sockets_per_user: u32,
    /// The chats that one user may start in an hour.
    pub starts_per_hour: u32,
    /// The invites that one user may create in an hour.
    pub invites_per_hour: u32,
    /// The changes that one user may make in a minute: titles, roles, members, bans, deleted groups, revoked and
    /// accepted invites, ended sessions, and generated resources.
    ///
    /// For endpoints without a login, the limit holds for a network.
    pub changes_per_minute: u32,
    /// The requests of one user that read, in 10 seconds.
    pub reads_per_10s: u32,
    /// The requests of one network that read, in 10 seconds, with and without an account. Pages and
    /// documents count too.
    pub network_reads_per_10s: u32,
    /// The groups that one user may subscribe to in 10 seconds, over all sockets.
    pub subs_per_10s: u32,
    /// The frames of all kinds that one socket may send in a second.
    pub frames_per_second: u32,
    /// Seconds for which `frames_per_second` may throttle a rich socket. Then the socket is closed.
    pub frames_held: u32,
    /// The sessions of one user. A login beyond this number ends the session that was unused for
    /// the longest time.
    pub sessions_per_user: u32,
    /// The groups that one user may be a member of.
    pub groups_per_user: u32,
    /// The members of one group.
    pub members_per_group: u32,
}

impl LimitSettings {
    /// The least value of `subs_per_10s`. With a smaller value, a socket with the most groups could
    /// not reconnect.
    pub const MIN_SUBS_PER_10S: u32 = 512;

    /// The greatest value of `start_wait` in seconds. A proxy closes a request that takes longer.
    pub const MAX_START_WAIT: u32 = 30;

    /// Returns the quotas of memberships.
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            groups_per_user: self.groups_per_user,
            members_per_group: self.members_per_group,
        }
    }

    /// Returns the limits that are out of range.
    pub(super) fn range_faults(&self) -> Vec<String> {
        let limits = [
            ("registrations_per_hour", self.registrations_per_hour),
            ("logins_per_minute", self.logins_per_minute),
            ("refreshes_per_minute", self.refreshes_per_minute),
            ("sockets_per_minute", self.sockets_per_minute),
            ("starts_at_once", self.starts_at_once),
            ("start_wait", self.start_wait),
            ("sockets_per_network", self.sockets_per_network),
            ("sockets_per_user", self.sockets_per_user),
            ("starts_per_hour", self.starts_per_hour),
            ("invites_per_hour", self.invites_per_hour),
            ("changes_per_minute", self.changes_per_minute),
            ("reads_per_10s", self.reads_per_10s),
            ("network_reads_per_10s", self.network_reads_per_10s),
            ("frames_per_second", self.frames_per_second),
            ("frames_held", self.frames_held),
            ("sessions_per_user", self.sessions_per_user),
            ("groups_per_user", self.groups_per_user),
            ("members_per_group", self.members_per_group),
        ];
        let zero = limits.into_iter().filter(|(_, value)| *value == 0);
        let mut faults: Vec<_> = zero
            .map(|(key, _)| format!("settings.limits.{key} is 0; it must be above 0"))
            .collect();
        if self.start_wait > Self::MAX_START_WAIT {
            faults.push(format!(
                "settings.limits.start_wait is {}; it must be {} or less, because clients \
                 and proxies close a request that takes longer",
                self.start_wait,
                Self::MAX_START_WAIT
            ));
        }
        if self.subs_per_10s < Self::MIN_SUBS_PER_10S {
            faults.push(format!(
                "settings.limits.subs_per_10s is {}; it must be {} or more, because a socket may \
                 have that many groups and subscribes to all of them when it reconnects",
                self.subs_per_10s,
                Self::MIN_SUBS_PER_10S
            ));
        }
        faults
    }
}
