//! The rate limits of the client of a request. A request over a limit is rejected with the error of its endpoint.

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

/// The rate limits of the client and of the user. Each method counts one request against a limit.
pub struct Throttle {
    limits: Arc<RequestLimits>,
    logins: LoginThrottle,
    network: IpNet,
}

impl Throttle {
    /// Counts a registration. Returns the requester for the queue for hashing.
    ///
    /// # Errors
    /// [`Error::RegisterRateLimited`] when the client has reached the limit.
    pub fn check_registration(&self) -> Result<Requester> {
        let result = self.limits.registrations.check(self.network);
        result.map_err(Error::RegisterRateLimited)?;
        Ok(Requester::client(HashPriority::AccountChange, self.network))
    }

    /// Counts a login, and begins the attempt.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the client has reached the limit, or too many attempts for the account have failed.
    /// [`Error::Unavailable`] when the queue for hashing has no room.
    pub async fn begin_login_attempt(&self, username: &str) -> Result<LoginAttempt> {
        let result = self.limits.logins.check(self.network);
        result.map_err(Error::RateLimited)?;
        hashing::check_capacity(self.network)?;
        let attempt = self.logins.begin_attempt(username, self.network).await;
        attempt.map_err(Error::RateLimited)
    }

    /// Counts a check of the current password as a login, and begins the attempt.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the client has reached the limit, or too many attempts for the account have failed.
    /// [`Error::Unavailable`] when the queue for hashing has no room.
    pub async fn begin_password_attempt(&self, user: &users::Model) -> Result<LoginAttempt> {
        self.limits.logins.check(self.network)?;
        hashing::check_capacity(self.network)?;
        Ok(self
            .logins
            .begin_attempt(&user.username, self.network)
            .await?)
    }

    /// Counts a refresh of tokens.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the client has reached the limit.
    pub fn check_refresh(&self) -> Result<()> {
        let result = self.limits.refreshes.check(self.network);
        result.map_err(Error::RateLimited)
    }

    /// Counts the creation of a group.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the user has reached the limit.
    pub fn check_chat_start(&self, user: &users::Model) -> Result<()> {
        let result = self.limits.group_creations.check(user.id);
        result.map_err(Error::RateLimited)
    }

    /// Counts the creation of an invite.
    ///
    /// # Errors
    /// [`RateLimited`] when the user has reached the limit.
    pub fn check_invite(&self, user: &users::Model) -> Result<(), RateLimited> {
        self.limits.invite_creations.check(user.id)
    }

    /// Counts a change that is not about a message: by the user, or by the client's network for an endpoint without a
    /// login.
    ///
    /// # Errors
    /// [`RateLimited`] when the user or the network has reached the limit.
    pub fn check_change(&self, user: Option<&users::Model>) -> Result<(), RateLimited> {
        match user {
            Some(user) => self.limits.changes.check(user.id),
            None => self.limits.network_changes.check(self.network),
        }
    }

    /// Waits for the permit to read a long page. Dropping the permit releases it.
    pub async fn acquire_page_permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.limits.long_page_reads.acquire().await.ok()
    }

    /// Counts the opening of a socket or stream, before authentication.
    ///
    /// # Errors
    /// [`RateLimited`] when the client has reached the limit.
    pub fn check_socket_open(&self) -> Result<(), RateLimited> {
        self.limits.sockets.check(self.network)
    }

    /// Acquires a permit for a socket or stream of a user.
    ///
    /// # Errors
    /// [`TooManySockets`] when the user or the network has reached the limit.
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
