//! A socket's places in groups: one, or as many as it asks for.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use super::{
    Hub, Subscription,
    peer::{Ending, Peer},
    sessions::Expiry,
};
use crate::{
    channels::{Member, line::Line},
    models::sessions::Live,
};

/// Groups that a socket joins at once; others want the database, too.
const AT_ONCE: usize = 16;

/// The time that a socket waits for Redis and for other nodes when it joins, however many groups it joins.
const PATIENCE: Duration = Duration::from_secs(2);

/// All places of one socket. Dropping it leaves all groups, and the hub.
pub(in crate::channels) struct Places {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    places: Vec<Option<Subscription>>,
}

impl Places {
    pub fn new(hub: Arc<Hub>, peer: Arc<Peer>) -> Self {
        hub.admit(&peer);
        Self {
            hub,
            peer,
            places: Vec::new(),
        }
    }

    /// Takes places in groups in which the socket has none yet, and gives their numbers.
    pub async fn join(&mut self, members: &[Member]) -> Vec<usize> {
        let free = |number: &usize| self.places.get(*number).is_none_or(Option::is_none);
        let numbers: Vec<_> = (0..).filter(free).take(members.len()).collect();
        let mut joined = Vec::with_capacity(members.len());
        // One patience for all: a client that asks for hundreds of groups waits for one reply.
        let patience = Instant::now() + PATIENCE;
        for (members, numbers) in members.chunks(AT_ONCE).zip(numbers.chunks(AT_ONCE)) {
            let joining = members
                .iter()
                .zip(numbers)
                .map(|(member, number)| self.hub.join(&self.peer, *number, member, patience));
            joined.extend(join_all(joining).await);
        }
        for (number, subscription) in numbers.iter().zip(joined) {
            // There may be something already.
            subscription.ring();
            if *number == self.places.len() {
                self.places.push(None);
            }
            if let Some(place) = self.places.get_mut(*number) {
                *place = Some(subscription);
            }
        }
        numbers
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut Subscription> {
        self.places.get_mut(number)?.as_mut()
    }

    pub fn leave(&mut self, number: usize) {
        if let Some(place) = self.places.get_mut(number) {
            *place = None;
        }
    }

    /// Waits until there may be something to take, or the socket must go. Safe to be cancelled.
    pub async fn news(&self) {
        self.peer.news_or_end().await;
    }

    /// By which the peer may be written to past its socket, if there is one.
    pub fn line(&self) -> Option<&Line> {
        self.peer.line.as_deref()
    }

    /// The place whose turn it is to be told from.
    pub fn take_rung(&mut self) -> Option<usize> {
        loop {
            let number = self.peer.take_rung()?;
            // One that was left may have rung before.
            if let Some(place) = self.get_mut(number) {
                place.look();
                return Some(number);
            }
        }
    }

    /// Groups that the user has become a member of lately.
    pub fn take_welcomes(&self) -> Vec<Arc<str>> {
        self.peer.take_welcomes()
    }

    /// Asks again after a while to take places in groups that the user has become a member of.
    pub fn welcome_after(&self, wait: Duration, groups: Vec<Arc<str>>) {
        let peer = self.peer.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            groups.into_iter().for_each(|group| peer.welcome(group));
        });
    }

    /// Whether something was written to the peer past its task that the system has not taken yet.
    pub fn has_rest(&self) -> bool {
        self.line().is_some_and(Line::has_rest)
    }

    /// While it is, nothing is written to the peer past its task.
    pub fn be_busy(&self, is_busy: bool) {
        self.peer.be_busy(is_busy);
    }

    /// The session by which the socket goes on.
    pub fn session(&self) -> Live {
        self.peer.session()
    }

    /// Lets the socket go on by another session of its user, or by the same one for longer.
    pub fn go_on_by(&self, session: Live) {
        self.peer.go_on_by(session);
    }

    /// Looks whether the session lives, and for how long: it may have been refreshed elsewhere. Where
    /// it does not, the socket must go.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_session(&self) -> Result<(), DbErr> {
        self.hub
            .check_sessions(std::slice::from_ref(&self.peer))
            .await
    }

    /// Of the session, by the clock.
    pub fn expiry(&self) -> Expiry {
        Expiry::new(self.hub.clone(), self.peer.clone())
    }

    pub fn ending(&self) -> Ending {
        Ending::of(self.peer.clone())
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.hub.dismiss(&self.peer);
    }
}
