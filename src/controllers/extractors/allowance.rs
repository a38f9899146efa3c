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
    limits::{Full, Limits, Seat, TooFast},
    logins::{Attempt, Logins},
    models::{
        hashing::{self, Priority, Requester},
        users,
    },
};

/// Each method takes what it is named after from what the client, or the user, may do.
pub struct Allowance {
    limits: Arc<Limits>,
    logins: Logins,
    network: IpNet,
}

impl Allowance {
    /// Takes a registration. Returns its place in the queue for hashing.
    ///
    /// # Errors
    /// [`Error::RegisterTooFast`] when there is nothing left.
    pub fn registration(&self) -> Result<Requester> {
        let taken = self.limits.registrations.take(self.network);
        taken.map_err(Error::RegisterTooFast)?;
        Ok(Requester::client(Priority::Account, self.network))
    }

    /// # Errors
    /// [`Error::TooFast`] when there is nothing left, or too many attempts for the account
    /// have failed; [`Error::Unavailable`] when nobody could look at the password.
    pub async fn login(&self, username: &str) -> Result<Attempt> {
        let taken = self.limits.logins.take(self.network);
        taken.map_err(Error::TooFast)?;
        hashing::expect_room(self.network)?;
        let attempt = self.logins.attempt(username, self.network).await;
        attempt.map_err(Error::TooFast)
    }

    /// An attempt to show that somebody who is logged in knows the password. It counts as a login.
    ///
    /// # Errors
    /// [`Error::TooFast`] when there is nothing left, or too many attempts for the account have
    /// failed; [`Error::Unavailable`] when nobody could look at the password.
    pub async fn password(&self, user: &users::Model) -> Result<Attempt> {
        self.limits.logins.take(self.network)?;
        hashing::expect_room(self.network)?;
        Ok(self.logins.attempt(&user.username, self.network).await?)
    }

    /// # Errors
    /// [`Error::TooFast`] when there is nothing left.
    pub fn refresh(&self) -> Result<()> {
        let taken = self.limits.refreshes.take(self.network);
        taken.map_err(Error::TooFast)
    }

    /// # Errors
    /// [`Error::TooFast`] when there is nothing left.
    pub fn start(&self, user: &users::Model) -> Result<()> {
        let taken = self.limits.starts.take(user.id);
        taken.map_err(Error::TooFast)
    }

    /// # Errors
    /// [`TooFast`] when there is nothing left.
    pub fn invite(&self, user: &users::Model) -> Result<(), TooFast> {
        self.limits.invites.take(user.id)
    }

    /// A change of something that is no message, by a user, or where nobody has to be logged in for
    /// it, by whoever it is.
    ///
    /// # Errors
    /// [`TooFast`] when there is nothing left.
    pub fn change(&self, user: Option<&users::Model>) -> Result<(), TooFast> {
        match user {
            Some(user) => self.limits.changes.take(user.id),
            None => self.limits.network_changes.take(self.network),
        }
    }

    /// Waits for the turn to read a long page, which lasts until the permit is dropped.
    pub async fn page(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.limits.pages.acquire().await.ok()
    }

    /// A socket or stream that is to be opened, whoever asks.
    ///
    /// # Errors
    /// [`TooFast`] when there is nothing left.
    pub fn socket(&self) -> Result<(), TooFast> {
        self.limits.sockets.take(self.network)
    }

    /// A seat for it.
    ///
    /// # Errors
    /// [`Full`] when there is none left.
    pub fn seat(&self, channels: &Channels, user: &users::Model) -> Result<Seat, Full> {
        channels.take_seat(user.id, self.network)
    }
}

impl FromRequestParts<AppContext> for Allowance {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let client = ClientAddress::from_request_parts(parts, ctx).await?;
        let store = &ctx.shared_store;
        let (Some(limits), Some(logins)) = (store.get::<Arc<Limits>>(), store.get::<Logins>())
        else {
            return Err(loco_rs::Error::string("the limits were not set up").into());
        };
        Ok(Self {
            limits,
            logins,
            network: client.network(),
        })
    }
}
