//! Limits: the resources of this server that one client may use, and the rate of its requests.
//!
//! docs/configuration.md has the table of all limits, with their settings and answers. This is the map:
//!
//! | limit of | module | counted for each |
//! |---|---|---|
//! | open connections | [`connections`] | network, and node |
//! | open sockets and event streams | [`sockets`] | user, and network |
//! | frames of a socket | [`frames`] | socket |
//! | starts of sockets and subscriptions at the same time | [`admission`] | node; networks and users take turns |
//! | requests: logins, reads, changes … | [`requests`] | user or network |
//! | sent messages, subscriptions | `channels::Channels`, by a [`RateLimiter`] | user |
//! | failed logins | [`logins`] | account, on all nodes together |
//! | memberships | [`quotas`] | user, and group, on all nodes together |
//! | warnings in the log | [`log_throttle`] | kind of warning |
//!
//! The memory of responses that clients do not read is limited in `server::response_limiter`, and the queue for
//! password hashing in `models::hashing`: each limit is next to the code that it protects.
//!
//! There are two forms. A *rate* limits events over time: [`RateLimiter`] counts by a [`RateKey`], and refuses
//! with [`RateLimited`]. A *permit* limits things that exist at the same time, and ends when it is dropped.

pub mod admission;
pub mod connections;
mod fair_queue;
pub mod frames;
pub mod log_throttle;
pub mod logins;
mod network_counts;
pub mod quotas;
mod rate_limiter;
pub mod requests;
mod retry_schedule;
pub mod sockets;

use std::time::Duration;

pub use self::{
    admission::{AdmissionControl, AdmissionKind, Overloaded, StartPermit},
    connections::{ConnectionLimiter, ConnectionPermit, TooManyConnections},
    fair_queue::FairQueue,
    frames::FrameRateLimiter,
    log_throttle::{ClientLogThrottle, LogThrottle},
    logins::{LoginAttempt, LoginThrottle},
    network_counts::NetworkCounts,
    quotas::Quotas,
    rate_limiter::{RateKey, RateLimiter},
    requests::RequestLimits,
    retry_schedule::RetrySchedule,
    sockets::{SocketLimiter, SocketPermit, TooManySockets},
};

/// The error of every rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct RateLimited {
    /// The time until the next request is allowed.
    pub retry_after: Duration,
}
