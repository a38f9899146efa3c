//! The rate limits of a request's client, checked by handlers before they act.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use ipnet::IpNet;
use loco_rs::app::AppContext;
use tokio::sync::SemaphorePermit;

use super::ClientAddress;
use crate::{
    channels::{Channels, SocketAdmission, socket_writer::SocketWriter},
    errors::{Error, Result},
    limits::{
        AdmissionKind, LoginAttempt, LoginThrottle, Overloaded, RateKey, RateLimited,
        RequestLimits, StartPermit, TooManySockets,
    },
    models::{
        hashing::{self, HashPriority, Requester},
        users,
    },
};

/// The limits of the client that sent a request. Each method counts one request of the kind in its name.
pub struct Throttle {
    limits: Arc<RequestLimits>,
    logins: LoginThrottle,
    client: ClientAddress,
    /// The network of the client, which the limits count.
    network: IpNet,
}

impl Throttle {
    /// Counts a registration. Returns its place in the queue for hashing.
    ///
    /// # Errors
    /// [`Error::RegisterRateLimited`] when the limit of the network is reached.
    pub fn check_registration(&self) -> Result<Requester> {
        let checked = self.limits.registrations.check(self.network_key());
        checked.map_err(Error::RegisterRateLimited)?;
        Ok(Requester::client(HashPriority::AccountChange, self.network))
    }

    /// Counts an attempt to log in to the account with this username.
    ///
    /// # Errors
    /// - [`Error::RateLimited`] when the limit of the network is reached, or when too many attempts for the
    ///   account failed.
    /// - [`Error::Unavailable`] when the queue for hashing is full.
    pub async fn begin_login_attempt(&self, username: &str) -> Result<LoginAttempt> {
        self.limits.logins.check(self.network_key())?;
        hashing::check_capacity(self.network)?;
        Ok(self.logins.begin_attempt(username, self.network).await?)
    }

    /// Counts an attempt of a user, who is logged in, to confirm their password. It counts as a login.
    ///
    /// # Errors
    /// The errors of [`Throttle::begin_login_attempt`].
    pub async fn begin_password_attempt(&self, user: &users::Model) -> Result<LoginAttempt> {
        self.begin_login_attempt(&user.username).await
    }

    /// Counts a refresh of a token.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the network is reached.
    pub fn check_refresh(&self) -> Result<(), RateLimited> {
        self.limits.refreshes.check(self.network_key())
    }

    /// Counts a new group of a user.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the user is reached.
    pub fn check_chat_start(&self, user: &users::Model) -> Result<(), RateLimited> {
        self.limits.group_creations.check(RateKey::User(user.id))
    }

    /// Counts a new invite of a user.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the user is reached.
    pub fn check_invite(&self, user: &users::Model) -> Result<(), RateLimited> {
        self.limits.invite_creations.check(RateKey::User(user.id))
    }

    /// Counts another change of a user; of the network, at an endpoint without a login.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit is reached.
    pub fn check_change(&self, user: Option<&users::Model>) -> Result<(), RateLimited> {
        match user {
            Some(user) => self.limits.changes.check(RateKey::User(user.id)),
            None => self.limits.network_changes.check(self.network_key()),
        }
    }

    /// Waits until a long page may be read. The permit counts the page until it is dropped.
    pub async fn acquire_page_permit(&self) -> Option<SemaphorePermit<'_>> {
        // Nothing closes the semaphore.
        self.limits.long_page_reads.acquire().await.ok()
    }

    /// Counts an attempt to open a socket or an event stream.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the network is reached.
    pub fn check_socket_open(&self) -> Result<(), RateLimited> {
        self.limits.sockets.check(self.network_key())
    }

    /// Waits until a socket or an event stream may start.
    ///
    /// # Errors
    /// [`Overloaded`] when the wait would be too long.
    pub async fn wait_for_start(&self, channels: &Channels) -> Result<StartPermit, Overloaded> {
        let kind = AdmissionKind::Handshake;
        channels.admission().admit(kind, self.network_key()).await
    }

    /// Admits a socket or event stream of a user, which starts now. `writer` is the writer of its connection.
    ///
    /// # Errors
    /// [`TooManySockets`] when the user or the network has reached its limit.
    pub fn admit_socket(
        &self,
        channels: &Channels,
        user: &users::Model,
        start: StartPermit,
        writer: Option<Arc<SocketWriter>>,
    ) -> Result<SocketAdmission, TooManySockets> {
        Ok(SocketAdmission {
            start,
            permit: channels.acquire_socket_permit(user.id, self.network)?,
            writer,
            client: self.client(),
        })
    }

    /// Returns the address of the client, for the log.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.client.ip()
    }

    const fn network_key(&self) -> RateKey {
        RateKey::Network(self.network)
    }
}

impl FromRequestParts<AppContext> for Throttle {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let client = ClientAddress::from_request_parts(parts, ctx).await?;
        let store = &ctx.shared_store;
        let (Some(limits), Some(logins)) = (
            store.get::<Arc<RequestLimits>>(),
            store.get::<LoginThrottle>(),
        ) else {
            return Err(loco_rs::Error::string("the limits were not set up").into());
        };
        Ok(Self {
            limits,
            logins,
            client,
            network: client.network(),
        })
    }
}
