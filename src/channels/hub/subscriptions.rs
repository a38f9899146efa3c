//! A socket's places in groups: one, or as many as it asks for.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use super::{
    Hub, Subscription,
    session_monitor::SessionExpiry,
    socket_handle::{CloseSignal, SocketHandle},
};
use crate::{
    channels::{Member, socket_writer::SocketWriter},
    models::sessions::ActiveSession,
};

/// Groups that a socket joins at once; others want the database, too.
const MAX_CONCURRENT_JOINS: usize = 16;

/// The time that a socket waits for Redis and for other nodes when it joins, however many groups it joins.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// All places of one socket. Dropping it leaves all groups, and the hub.
pub(in crate::channels) struct Subscriptions {
    hub: Arc<Hub>,
    socket: Arc<SocketHandle>,
    slots: Vec<Option<Subscription>>,
}

impl Subscriptions {
    pub fn new(hub: Arc<Hub>, socket: Arc<SocketHandle>) -> Self {
        hub.register_socket(&socket);
        Self {
            hub,
            socket,
            slots: Vec::new(),
        }
    }

    /// Takes places in groups in which the socket has none yet, and gives their numbers.
    pub async fn join(&mut self, members: &[Member]) -> Vec<usize> {
        let free = |number: &usize| self.slots.get(*number).is_none_or(Option::is_none);
        let numbers: Vec<_> = (0..).filter(free).take(members.len()).collect();
        let mut joined = Vec::with_capacity(members.len());
        // One patience for all: a client that asks for hundreds of groups waits for one reply.
        let patience = Instant::now() + JOIN_TIMEOUT;
        for (members, numbers) in members
            .chunks(MAX_CONCURRENT_JOINS)
            .zip(numbers.chunks(MAX_CONCURRENT_JOINS))
        {
            let joining = members
                .iter()
                .zip(numbers)
                .map(|(member, number)| self.hub.join(&self.socket, *number, member, patience));
            joined.extend(join_all(joining).await);
        }
        for (number, subscription) in numbers.iter().zip(joined) {
            // There may be something already.
            subscription.notify();
            if *number == self.slots.len() {
                self.slots.push(None);
            }
            if let Some(place) = self.slots.get_mut(*number) {
                *place = Some(subscription);
            }
        }
        numbers
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut Subscription> {
        self.slots.get_mut(number)?.as_mut()
    }

    pub fn leave(&mut self, number: usize) {
        if let Some(place) = self.slots.get_mut(number) {
            *place = None;
        }
    }

    /// Waits until there may be something to take, or the socket must go. Safe to be cancelled.
    pub async fn wait_for_events_or_close(&self) {
        self.socket.wait_for_events_or_close().await;
    }

    /// By which the peer may be written to past its socket, if there is one.
    pub fn socket_writer(&self) -> Option<&SocketWriter> {
        self.socket.socket_writer.as_deref()
    }

    /// The place whose turn it is to be told from.
    pub fn next_ready_slot(&mut self) -> Option<usize> {
        loop {
            let number = self.socket.next_ready_slot()?;
            // One that was left may have rung before.
            if let Some(place) = self.get_mut(number) {
                place.begin_turn();
                return Some(number);
            }
        }
    }

    /// Groups that the user has become a member of lately.
    pub fn take_new_groups(&self) -> Vec<Arc<str>> {
        self.socket.take_new_groups()
    }

    /// Asks again after a while to take places in groups that the user has become a member of.
    pub fn retry_new_groups(&self, wait: Duration, groups: Vec<Arc<str>>) {
        let peer = self.socket.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            groups
                .into_iter()
                .for_each(|group| peer.add_new_group(group));
        });
    }

    /// Whether something was written to the peer past its task that the system has not taken yet.
    pub fn has_pending_bytes(&self) -> bool {
        self.socket_writer().is_some_and(SocketWriter::has_pending)
    }

    /// While it is, nothing is written to the peer past its task.
    pub fn set_direct_write_paused(&self, is_busy: bool) {
        self.socket.set_direct_write_paused(is_busy);
    }

    /// The session by which the socket goes on.
    pub fn session(&self) -> ActiveSession {
        self.socket.session()
    }

    /// Lets the socket go on by another session of its user, or by the same one for longer.
    pub fn replace_session(&self, session: ActiveSession) {
        self.socket.replace_session(session);
    }

    /// Looks whether the session lives, and for how long: it may have been refreshed elsewhere. Where
    /// it does not, the socket must go.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_session(&self) -> Result<(), DbErr> {
        self.hub
            .check_sessions(std::slice::from_ref(&self.socket))
            .await
    }

    /// Of the session, by the clock.
    pub fn session_expiry(&self) -> SessionExpiry {
        SessionExpiry::new(self.hub.clone(), self.socket.clone())
    }

    pub fn close_signal(&self) -> CloseSignal {
        CloseSignal::new(self.socket.clone())
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.hub.unregister_socket(&self.socket);
    }
}
