//! How much one client may ask for.

use serde::Deserialize;

use crate::models::memberships::Quotas;

/// All of these are above 0. Those of stored rows hold for all nodes together, the others for each node.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Accounts that one network may create in an hour, attempts that fail included.
    pub registrations_per_hour: u32,
    /// Times that one network may try to log in, in a minute.
    pub logins_per_minute: u32,
    /// Access tokens that one network may buy with refresh tokens in a minute.
    pub refreshes_per_minute: u32,
    /// Sockets and streams that one network may open in a minute.
    pub sockets_per_minute: u32,
    /// Sockets and streams that one network may have at once.
    pub sockets_per_network: u32,
    /// Sockets and streams that one user may have at once.
    pub sockets_per_user: u32,
    /// Chats that one user may start in an hour.
    pub starts_per_hour: u32,
    /// Invites that one user may make in an hour.
    pub invites_per_hour: u32,
    /// Changes of titles, roles, members, bans and invites, and of what the generators make, that one
    /// user may make in a minute; where nobody has to be logged in, that one network may make.
    pub changes_per_minute: u32,
    /// Requests of one user that read, in 10 seconds.
    pub reads_per_10s: u32,
    /// Requests of one network that read, in 10 seconds, with and without an account: pages and documents
    /// too.
    pub network_reads_per_10s: u32,
    /// Groups that one user may subscribe to in 10 seconds, over all sockets.
    pub subs_per_10s: u32,
    /// Frames of every kind that one socket may send in a second.
    pub frames_per_second: u32,
    /// Seconds for which a rich socket may be held back by that before it is closed.
    pub frames_held: u32,
    /// Sessions that one user may have. A login beyond that ends the session that was not used for the longest
    /// time.
    pub sessions_per_user: u32,
    /// Groups that one user may be a member of.
    pub groups_per_user: u32,
    /// Members that one group may have.
    pub members_per_group: u32,
}

impl LimitSettings {
    /// With less a socket of as many groups as there may be could not come back.
    pub const MIN_SUBS_PER_10S: u32 = 512;

    /// How many memberships there may be.
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            groups_per_user: self.groups_per_user,
            members_per_group: self.members_per_group,
        }
    }

    /// What is wrong, if anything is.
    pub(super) fn range_fault(&self) -> Option<String> {
        let zero = [
            ("registrations_per_hour", self.registrations_per_hour),
            ("logins_per_minute", self.logins_per_minute),
            ("refreshes_per_minute", self.refreshes_per_minute),
            ("sockets_per_minute", self.sockets_per_minute),
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
        ]
        .into_iter()
        .find(|(_, value)| *value == 0);
        if let Some((key, _)) = zero {
            return Some(format!("settings.limits.{key} must be above 0"));
        }
        (self.subs_per_10s < Self::MIN_SUBS_PER_10S).then(|| {
            format!(
                "settings.limits.subs_per_10s must be {} or more: so many groups may be on one \
                 socket, which subscribes to all of them when it comes back",
                Self::MIN_SUBS_PER_10S
            )
        })
    }
}
