//! One active group on this node: its last events, and the sockets that are subscribed to it.
//!
//! Sockets have no queue of their own. Each socket reads the same [`EventBuffer`] at its own position and pace, and
//! reads the log when it is further behind than the buffer reaches. So a slow socket costs the others nothing.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    broadcast::{BroadcastQueue, run_broadcast},
    buffer_memory::{BufferMemory, BufferShare},
    ephemeral_state::EphemeralState,
    event_buffer::{EventBuffer, NextEvents},
    member_count::MemberCount,
    subscriber::Subscriber,
};
use crate::{
    channels::{
        Member,
        broker::SubscriptionReady,
        presence::RoomPresence,
        protocol::{
            CloseReason,
            ephemeral::{EncodedEphemeral, EphemeralEvent, EphemeralKind},
            event::{EncodedEvent, EventEffect},
        },
    },
    settings::Settings,
};

/// A group on this node, while sockets are subscribed to it or a user may reconnect.
pub(in crate::channels) struct Room {
    pub id: i64,
    pub name: Arc<str>,
    /// `true` if the broker's subscription of the group's topic is active.
    pub topic_ready: SubscriptionReady,
    pub(super) settings: Arc<Settings>,
    event_buffer: Mutex<EventBuffer>,
    pub(super) broadcast_queue: BroadcastQueue,
    /// The sockets. A snapshot for an iteration is a clone of the `Arc`.
    subscribers: Mutex<Arc<Vec<Arc<Subscriber>>>>,
    /// The reason for the end of all subscriptions, once the group has ended.
    close_reason: OnceLock<CloseReason>,
    /// Held by the one socket that reads the log for all sockets that are as far behind.
    pub log_read_lock: tokio::sync::Mutex<()>,
    /// `true` if a gap was reported to the gap repair, so that it is reported once.
    is_gap_reported: AtomicBool,
    ephemeral_state: EphemeralState,
    pub presence: RoomPresence,
    pub member_count: MemberCount,
}

/// The result of [`Room::receive_events`].
pub(super) struct ReceiveOutcome {
    /// Users whose membership has ended, and who have no socket of a newer membership here.
    pub removed_users: Vec<Arc<str>>,
    /// `true` if an event is missing.
    pub has_gap: bool,
}

impl Room {
    /// The room of a member's group. All events up to the member's head count as received.
    pub(super) fn new(
        member: &Member,
        topic_ready: SubscriptionReady,
        settings: Arc<Settings>,
        buffer_memory: Arc<BufferMemory>,
    ) -> Self {
        let memory_share = BufferShare::new(buffer_memory);
        Self {
            id: member.group_id,
            name: member.group_name.clone(),
            topic_ready,
            settings,
            event_buffer: Mutex::new(EventBuffer::starting_after(member.head, memory_share)),
            broadcast_queue: BroadcastQueue::default(),
            subscribers: Mutex::default(),
            close_reason: OnceLock::new(),
            log_read_lock: tokio::sync::Mutex::default(),
            is_gap_reported: AtomicBool::new(false),
            ephemeral_state: EphemeralState::default(),
            presence: RoomPresence::default(),
            member_count: MemberCount::default(),
        }
    }

    /// Adds a subscriber. Closes the subscription if the group has ended: the membership was read before.
    pub(super) fn add_subscriber(&self, subscriber: Arc<Subscriber>) {
        let mut subscribers = self.subscribers();
        let subscribers = Arc::make_mut(&mut subscribers);
        if let Some(reason) = self.close_reason.get() {
            subscriber.close(*reason);
        }
        subscriber.set_index(subscribers.len());
        subscribers.push(subscriber);
    }

    /// Removes a subscriber, if the room has it.
    pub(super) fn remove_subscriber(&self, subscriber: &Arc<Subscriber>) {
        let mut subscribers = self.subscribers();
        let subscribers = Arc::make_mut(&mut subscribers);
        let index = subscriber.index();
        if subscribers
            .get(index)
            .is_some_and(|other| Arc::ptr_eq(other, subscriber))
        {
            subscribers.swap_remove(index);
            // The last subscriber has moved to this index.
            if let Some(moved) = subscribers.get(index) {
                moved.set_index(index);
            }
        }
    }

    /// Returns `true` if no socket is subscribed and no user may reconnect.
    pub(super) fn is_empty(&self) -> bool {
        if !self.subscribers().is_empty() {
            return false;
        }
        self.presence.state().has_no_local_users()
    }

    /// The subscribers at this moment.
    pub fn subscribers_snapshot(&self) -> Arc<Vec<Arc<Subscriber>>> {
        self.subscribers().clone()
    }

    /// The number of subscribers.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers().len()
    }

    /// The seq of the last event in order.
    pub fn last_seq(&self) -> i64 {
        self.event_buffer().last_seq()
    }

    /// Returns a head of the log, and the member's read position and unread count at that head, see
    /// [`EventBuffer::read_state`].
    pub fn read_state(&self, member: &Member) -> (i64, i64, i64) {
        let then = (member.read_seq, member.unread);
        self.event_buffer()
            .read_state(&member.actor.username, member.head, then)
    }

    /// Puts events in order, and broadcasts the events that are next.
    pub(super) fn receive_events(
        self: &Arc<Self>,
        events: impl IntoIterator<Item = EncodedEvent>,
    ) -> ReceiveOutcome {
        let mut event_buffer = self.event_buffer();
        let mut removed_users = Vec::new();
        let mut ready = Vec::new();
        for event in events {
            // A removal takes effect at once and out of order. The socket of a removed member may be blocked in a
            // write, and the repair of a gap before the event may take long.
            if let EventEffect::RemovesMember(user) = &event.effect
                && event.seq > event_buffer.last_seq()
                && self.disconnect_removed(&event)
            {
                removed_users.push(user.as_str().into());
            }
            for event in event_buffer.receive(event) {
                match event.effect {
                    EventEffect::AddsMember(_) => self.member_count.apply(event.seq, 1),
                    EventEffect::RemovesMember(_) => self.member_count.apply(event.seq, -1),
                    _ => {}
                }
                ready.push(event);
            }
        }
        let has_gap = event_buffer.has_gap();
        // The push holds the lock of the buffer, so that the queue keeps the order.
        let must_run = self.broadcast_queue.push(ready);
        drop(event_buffer);
        if must_run {
            // The task is not supervised. It ends when the queue is empty, and a panic wakes the sockets' own tasks.
            tokio::spawn(run_broadcast(self.clone()));
        }
        ReceiveOutcome {
            removed_users,
            has_gap,
        }
    }

    /// The time of the last event.
    pub(super) fn last_event_at(&self) -> Instant {
        self.event_buffer().last_event_at()
    }

    /// Empties the event buffer.
    pub(super) fn evict_buffer(&self) {
        self.event_buffer().evict();
    }

    /// Skips to a seq, because the log shows that no event up to this seq is missing.
    pub(super) fn advance_to(&self, seq: i64) {
        self.event_buffer().advance_to(seq);
    }

    /// Returns `true` if the event after `seq` must be read from the log.
    pub fn needs_log_after(&self, seq: i64) -> bool {
        self.event_buffer().needs_log_after(seq)
    }

    /// Returns a batch of the events after `seq`.
    pub fn next_events(&self, seq: i64) -> NextEvents {
        self.event_buffer().next_events(seq)
    }

    /// The number of deletions and edits so far, for [`Room::cache_older`].
    pub fn content_version(&self) -> u64 {
        self.event_buffer().content_version()
    }

    /// Keeps events that a socket has read from the log for other sockets, see [`EventBuffer::cache_older`].
    pub fn cache_older(&self, events: &[Arc<EncodedEvent>], content_version: u64) {
        self.event_buffer().cache_older(events, content_version);
    }

    /// Sends an ephemeral event to the sockets that need it.
    pub fn broadcast_ephemeral(&self, event: &Arc<EncodedEphemeral>) {
        match event.kind {
            EphemeralKind::Typing if !self.ephemeral_state.update_typing(event) => {}
            EphemeralKind::Read if !self.ephemeral_state.advance_read_position(event) => {}
            // If all members of a large group read a message, each of them would receive all read positions.
            EphemeralKind::Read if self.member_count.is_large() => {
                for subscriber in self.subscribers().iter() {
                    if *subscriber.username() == event.user {
                        subscriber.queue_ephemeral(event);
                    }
                }
            }
            _ => {
                for subscriber in self.subscribers().iter() {
                    subscriber.queue_ephemeral(event);
                }
            }
        }
    }

    /// Ends the typing of users that has timed out. Returns `true` while other users type.
    pub(super) fn expire_typing(&self) -> bool {
        for user in self.ephemeral_state.timed_out_typing_users() {
            self.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(
                &EphemeralEvent::Typing {
                    group: self.name.as_ref().into(),
                    user: user.as_ref().into(),
                    on: false,
                },
            )));
        }
        self.ephemeral_state.has_typing_users()
    }

    /// Marks a gap as reported. Returns `true` if it was not marked before.
    pub(super) fn mark_gap_reported(&self) -> bool {
        !self.is_gap_reported.swap(true, Ordering::Relaxed)
    }

    /// Allows the next report of a gap.
    pub(super) fn clear_gap_reported(&self) {
        self.is_gap_reported.store(false, Ordering::Relaxed);
    }

    /// Closes all subscriptions, and those that follow.
    pub(super) fn close_all(&self, reason: CloseReason) {
        // The first reason counts. It is set before the loop, so that no new subscriber is left out.
        let _ = self.close_reason.set(reason);
        for subscriber in self.subscribers().iter() {
            subscriber.close(reason);
        }
    }

    /// Closes the subscriptions of the user whom an event removes. Returns `false` if the user has a subscription
    /// of a newer membership.
    fn disconnect_removed(&self, event: &EncodedEvent) -> bool {
        let mut has_rejoined = false;
        for subscriber in self.subscribers().iter() {
            if subscriber.is_removed_by(event) {
                subscriber.close(CloseReason::NotMember);
            } else {
                has_rejoined |= event.removes_member(subscriber.username());
            }
        }
        !has_rejoined
    }

    // A panic elsewhere leaves the values of the locks as they were between two calls of their own methods.

    fn event_buffer(&self) -> MutexGuard<'_, EventBuffer> {
        self.event_buffer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribers(&self) -> MutexGuard<'_, Arc<Vec<Arc<Subscriber>>>> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
