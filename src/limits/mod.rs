//! How much one client may ask of this node: what protects the node, counted by the node alone.
//!
//! What protects an account, and so is counted by all nodes together, stands in [`crate::logins`].

mod pace;
mod rates;
mod seats;

use std::time::Duration;

use ipnet::IpNet;

pub use self::{
    pace::Pace,
    rates::{Rates, TooFast},
    seats::{Full, Seat, Seats},
};
use crate::settings::LimitSettings;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The limits of requests. Those of a network count IPv6 by its /64.
pub struct Limits {
    pub registrations: Rates<IpNet>,
    pub logins: Rates<IpNet>,
    pub refreshes: Rates<IpNet>,
    /// Sockets and streams that are opened.
    pub sockets: Rates<IpNet>,
    /// Chats that a user starts.
    pub starts: Rates<i64>,
    /// Invites that a user makes.
    pub invites: Rates<i64>,
    /// Changes of what is no message.
    pub changes: Rates<Asker>,
}

/// Who asks: a user, or where nobody has to be logged in, a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    User(i64),
    Network(IpNet),
}

impl Limits {
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            registrations: Rates::new(settings.registrations_per_hour, HOUR),
            logins: Rates::new(settings.logins_per_minute, MINUTE),
            refreshes: Rates::new(settings.refreshes_per_minute, MINUTE),
            sockets: Rates::new(settings.sockets_per_minute, MINUTE),
            starts: Rates::new(settings.starts_per_hour, HOUR),
            invites: Rates::new(settings.invites_per_hour, HOUR),
            changes: Rates::new(settings.changes_per_minute, MINUTE),
        }
    }
}
