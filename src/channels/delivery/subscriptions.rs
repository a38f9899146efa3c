//! All subscriptions of one socket: one group, or as many as the client requests.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use super::{CloseSignal, SocketHandle, SocketScope, Subscriber, Subscription};
use crate::{
    channels::{
        Member, hub::Hub, protocol::CloseReason, session_monitor::SessionExpiry,
        socket_record::SocketRecord, socket_writer::SocketWriter,
    },
    models::sessions::ActiveSession,
};

/// Groups that a socket joins at the same time. Other sockets need the database too.
const MAX_CONCURRENT_JOINS: usize = 16;

/// The time that a socket waits for Redis and for other nodes in one call, however many groups it joins.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The subscriptions of a socket, each with the state `S` of the socket's protocol. Dropping them leaves all groups
/// and removes the socket from the node.
pub(in crate::channels) struct Subscriptions<S> {
    hub: Arc<Hub>,
    socket: Arc<SocketHandle>,
    /// The index is the subscription's slot. A slot without a subscription is reused.
    slots: Vec<Option<Subscription<S>>>,
}

impl<S> Subscriptions<S> {
    /// Registers a socket, which has no subscriptions yet.
    pub fn new(hub: Arc<Hub>, socket: Arc<SocketHandle>) -> Self {
        hub.connected.add(&socket);
        hub.sessions.recheck_if_recent(&socket);
        Self {
            hub,
            socket,
            slots: Vec::new(),
        }
    }

    /// Subscribes to groups that the socket is not subscribed to. `new_state` makes the state for each member.
    ///
    /// Each event after [`Member::head`] is delivered, also if another node stores the event, before or after this
    /// call.
    pub async fn join(&mut self, members: &[Member], new_state: impl Fn(&Member) -> S) {
        let is_free = |slot: &usize| self.slots.get(*slot).is_none_or(Option::is_none);
        let slots: Vec<_> = (0..).filter(is_free).take(members.len()).collect();
        let mut joined = Vec::with_capacity(members.len());
        // One deadline for all groups, because a client that requests hundreds of groups waits for one reply.
        let deadline = Instant::now() + JOIN_TIMEOUT;
        for (members, slots) in members
            .chunks(MAX_CONCURRENT_JOINS)
            .zip(slots.chunks(MAX_CONCURRENT_JOINS))
        {
            let joining = members.iter().zip(slots).map(|(member, slot)| {
                let subscriber = Subscriber::new(self.socket.clone(), *slot, member.head);
                join_group(&self.hub, subscriber, member, new_state(member), deadline)
            });
            joined.extend(join_all(joining).await);
        }
        let length = slots.last().map_or(0, |last| last + 1);
        // The reservation is exact, because most sockets have one group until they close.
        self.slots
            .reserve_exact(length.saturating_sub(self.slots.len()));
        for (slot, subscription) in slots.into_iter().zip(joined) {
            // There may be events already.
            subscription.notify();
            if slot == self.slots.len() {
                self.slots.push(None);
            }
            if let Some(entry) = self.slots.get_mut(slot) {
                *entry = Some(subscription);
            }
        }
    }

    /// The subscription in a slot.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Subscription<S>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The subscription to a group.
    pub fn of_group_mut(&mut self, group: &str) -> Option<&mut Subscription<S>> {
        self.iter_mut()
            .find(|subscription| subscription.group() == group)
    }

    /// Returns `true` if the socket is subscribed to a group.
    pub fn contains(&self, group: &str) -> bool {
        let mut subscriptions = self.slots.iter().flatten();
        subscriptions.any(|subscription| subscription.group() == group)
    }

    /// All subscriptions.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription<S>> {
        self.slots.iter_mut().flatten()
    }

    /// The number of subscriptions.
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Takes the subscription out of a slot. Dropping it leaves the group.
    pub fn take(&mut self, slot: usize) -> Option<Subscription<S>> {
        self.slots.get_mut(slot)?.take()
    }

    /// Takes the subscription to a group. Dropping it leaves the group.
    pub fn take_group(&mut self, group: &str) -> Option<Subscription<S>> {
        let is_of_group = |subscription: &mut Subscription<S>| subscription.group() == group;
        self.slots
            .iter_mut()
            .find_map(|entry| entry.take_if(is_of_group))
    }

    /// Waits until a subscription is ready, a group is new, or the socket must close. Safe to cancel.
    pub async fn wait_for_events_or_close(&self) {
        self.socket.wait_for_events_or_close().await;
    }

    /// The groups of the socket, and the kinds of events that the socket receives.
    pub fn scope(&self) -> SocketScope {
        self.socket.scope
    }

    /// The record of the socket in the log and the metrics.
    pub fn record(&self) -> &SocketRecord {
        &self.socket.record
    }

    /// The writer that bypasses the library of the WebSocket, where there is one.
    pub fn socket_writer(&self) -> Option<&SocketWriter> {
        self.socket.socket_writer.as_deref()
    }

    /// Begins the turn of the subscription that is next, and returns its slot.
    pub fn next_ready_slot(&mut self) -> Option<usize> {
        loop {
            let slot = self.socket.next_ready_slot()?;
            // A subscription that has ended may have requested a turn before.
            if let Some(subscription) = self.get_mut(slot) {
                subscription.begin_turn();
                return Some(slot);
            }
        }
    }

    /// Takes the groups that the user has become a member of.
    pub fn take_new_groups(&self) -> Vec<Arc<str>> {
        self.socket.take_new_groups()
    }

    /// Reports groups as new again after a pause.
    pub fn retry_new_groups(&self, pause: Duration, groups: Vec<Arc<str>>) {
        let socket = self.socket.clone();
        // The task is not supervised. It ends after the pause, and changes nothing if the socket has ended.
        tokio::spawn(async move {
            sleep(pause).await;
            groups
                .into_iter()
                .for_each(|group| socket.add_new_group(group));
        });
    }

    /// Returns `true` while the operating system has not taken all bytes of direct writes.
    pub fn has_pending_bytes(&self) -> bool {
        self.socket_writer().is_some_and(SocketWriter::has_pending)
    }

    /// Pauses or resumes direct writes to the socket.
    pub fn set_direct_write_paused(&self, is_paused: bool) {
        self.socket.set_direct_write_paused(is_paused);
    }

    /// The session of the socket.
    pub fn session(&self) -> ActiveSession {
        self.socket.session()
    }

    /// Replaces the session by another one of the same user, or by the same one with a later end.
    pub fn replace_session(&self, session: ActiveSession) {
        self.socket.replace_session(session);
        self.hub.sessions.recheck_if_recent(&self.socket);
    }

    /// Reads the session from the database, because another connection may have refreshed or ended it. Closes the
    /// socket if the session has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_session(&self) -> Result<(), DbErr> {
        let sockets = std::slice::from_ref(&self.socket);
        self.hub.sessions.check_sockets(sockets).await
    }

    /// The end of the session by the clock.
    pub fn session_expiry(&self) -> SessionExpiry {
        SessionExpiry::new(self.hub.sessions.clone(), self.socket.clone())
    }

    /// A handle that waits until the socket must close.
    pub fn close_signal(&self) -> CloseSignal {
        CloseSignal::new(self.socket.clone())
    }
}

impl<S> Drop for Subscriptions<S> {
    fn drop(&mut self) {
        self.hub.connected.remove(&self.socket);
    }
}

/// Joins a group. Waits for Redis and for other nodes until `deadline` at most.
async fn join_group<S>(
    hub: &Arc<Hub>,
    subscriber: Subscriber,
    member: &Member,
    state: S,
    deadline: Instant,
) -> Subscription<S> {
    let subscriber = Arc::new(subscriber);
    let room = hub.delivery.enter_room(member, &subscriber);
    // From here on, dropping this future leaves the room.
    let subscription = Subscription::new(hub.clone(), room.clone(), subscriber.clone(), state);
    room.topic_ready.clone().wait(deadline).await;
    hub.delivery.initialize_room(&room);
    hub.gap_repair.catch_up(&room, member.head).await;
    if room.last_seq() > member.head {
        // The event that ended the membership may have been broadcast before this subscription.
        match hub.members.reload(member).await {
            Ok(Some(_)) => {}
            Ok(None) => subscriber.close(CloseReason::NotMember),
            Err(_) => subscriber.close(CloseReason::Overloaded),
        }
    }
    if subscriber.socket.scope.receives_ephemerals() {
        hub.members.count(room.id, &room.member_count).await;
        hub.presence.wait_complete(&room, deadline).await;
    }
    subscription
}
