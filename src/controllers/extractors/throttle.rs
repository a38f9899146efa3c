//! How much the client of a request may ask for. What is asked too often is refused here, in the
//! words of the endpoint.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use ipnet::IpNet;
use loco_rs::app::AppContext;
use tokio::sync::SemaphorePermit;

use super::ClientAddress;
use crate::{
    channels::Channels,
    errors::{Error, Result},
    limits::{RateLimited, RequestLimits, SocketPermit, TooManySockets},
    logins::{LoginAttempt, LoginThrottle},
    models::{
        hashing::{self, HashPriority, Requester},
        users,
    },
};

/// Each method takes what it is named after from what the client, or the user, may do.
pub struct Throttle {
    limits: Arc<RequestLimits>,
    logins: LoginThrottle,
    network: IpNet,
}

impl Throttle {
    /// Takes a registration. Returns its place in the queue for hashing.
    ///
    /// # Errors
    /// [`Error::RegisterRateLimited`] when there is nothing left.
    pub fn check_registration(&self) -> Result<Requester> {
        let taken = self.limits.registrations.check(self.network);
        taken.map_err(Error::RegisterRateLimited)?;
        Ok(Requester::client(HashPriority::AccountChange, self.network))
    }

    /// # Errors
    /// [`Error::RateLimited`] when there is nothing left, or too many attempts for the account
    /// have failed; [`Error::Unavailable`] when nobody could look at the password.
    pub async fn begin_login_attempt(&self, username: &str) -> Result<LoginAttempt> {
        let taken = self.limits.logins.check(self.network);
        taken.map_err(Error::RateLimited)?;
        hashing::check_capacity(self.network)?;
        let attempt = self.logins.begin_attempt(username, self.network).await;
        attempt.map_err(Error::RateLimited)
    }

    /// An attempt to show that somebody who is logged in knows the password. It counts as a login.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when there is nothing left, or too many attempts for the account have
    /// failed; [`Error::Unavailable`] when nobody could look at the password.
    pub async fn begin_password_attempt(&self, user: &users::Model) -> Result<LoginAttempt> {
        self.limits.logins.check(self.network)?;
        hashing::check_capacity(self.network)?;
        Ok(self
            .logins
            .begin_attempt(&user.username, self.network)
            .await?)
    }

    /// # Errors
    /// [`Error::RateLimited`] when there is nothing left.
    pub fn check_refresh(&self) -> Result<()> {
        let taken = self.limits.refreshes.check(self.network);
        taken.map_err(Error::RateLimited)
    }

    /// # Errors
    /// [`Error::RateLimited`] when there is nothing left.
    pub fn check_chat_start(&self, user: &users::Model) -> Result<()> {
        let taken = self.limits.group_creations.check(user.id);
        taken.map_err(Error::RateLimited)
    }

    /// # Errors
    /// [`RateLimited`] when there is nothing left.
    pub fn check_invite(&self, user: &users::Model) -> Result<(), RateLimited> {
        self.limits.invite_creations.check(user.id)
    }

    /// A change of something that is no message, by a user, or where nobody has to be logged in for
    /// it, by whoever it is.
    ///
    /// # Errors
    /// [`RateLimited`] when there is nothing left.
    pub fn check_change(&self, user: Option<&users::Model>) -> Result<(), RateLimited> {
        match user {
            Some(user) => self.limits.changes.check(user.id),
            None => self.limits.network_changes.check(self.network),
        }
    }

    /// Waits for the turn to read a long page, which lasts until the permit is dropped.
    pub async fn acquire_page_permit(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.limits.long_page_reads.acquire().await.ok()
    }

    /// A socket or stream that is to be opened, whoever asks.
    ///
    /// # Errors
    /// [`RateLimited`] when there is nothing left.
    pub fn check_socket_open(&self) -> Result<(), RateLimited> {
        self.limits.sockets.check(self.network)
    }

    /// A seat for it.
    ///
    /// # Errors
    /// [`Full`] when there is none left.
    pub fn acquire_socket_permit(
        &self,
        channels: &Channels,
        user: &users::Model,
    ) -> Result<SocketPermit, TooManySockets> {
        channels.acquire_socket_permit(user.id, self.network)
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
            network: client.network(),
        })
    }
}
