//! A socket's subscription to one group, as the socket's task knows it: the position in the log, the next events, and
//! the state of the socket's protocol for the group.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use super::{
    NextEvents, SocketScope,
    event_buffer::{BATCH_BYTES, BATCH_EVENTS, take_batch},
    log_reader::PageSize,
    read_ahead::ReadAhead,
    room::Room,
    subscriber::Subscriber,
};
use crate::{
    channels::{
        Member,
        hub::Hub,
        presence::OnlineUsers,
        protocol::{CloseReason, event::EncodedEvent},
    },
    database::DB_TIMEOUT,
    metrics::METRICS,
};

/// The time that the other groups of a socket wait for one group's turn to read the log.
const LOG_READ_TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A subscription of a socket to a group. Dropping it leaves the group.
///
/// The room shares its [`Subscriber`]. All other fields belong to the socket's task alone.
pub(in crate::channels) struct Subscription<S> {
    /// The protocol's state of the group.
    pub state: S,
    hub: Arc<Hub>,
    room: Arc<Room>,
    subscriber: Arc<Subscriber>,
    /// The seq of the last event that the socket received.
    delivered_seq: i64,
    /// The head of the log when the client resumed, until the socket has received the events up to it.
    sync_at: Option<i64>,
    /// `true` if the protocol omits some of the next events, so that the room must not write them.
    is_filtered: bool,
    read_ahead: ReadAhead,
    /// The end of the pause after a failed read of the log.
    retry_at: Option<Instant>,
}

impl<S> Subscription<S> {
    /// A subscription that starts after the head of the log when the member was read.
    pub(super) fn new(
        hub: Arc<Hub>,
        room: Arc<Room>,
        subscriber: Arc<Subscriber>,
        state: S,
    ) -> Self {
        Self {
            state,
            delivered_seq: subscriber.joined_at_seq,
            read_ahead: ReadAhead::new(subscriber.socket.read_ahead.clone()),
            hub,
            room,
            subscriber,
            sync_at: None,
            is_filtered: false,
            retry_at: None,
        }
    }

    /// The name of the group.
    pub fn group(&self) -> &str {
        &self.room.name
    }

    /// The seq of the room's last event.
    pub fn room_last_seq(&self) -> i64 {
        self.room.last_seq()
    }

    /// Returns a head of the log, and the member's read position and unread count at that head. The head is at least
    /// the one at which the member was read.
    pub fn read_state(&self, member: &Member) -> (i64, i64, i64) {
        self.room.read_state(member)
    }

    /// The online members of the group.
    pub fn online_users(&self) -> OnlineUsers {
        let is_large = self.room.member_count.is_large();
        self.room.presence.online_users(is_large)
    }

    /// Starts again after the event `seq`. The socket is live once it has received the events up to `head`, see
    /// [`Subscription::take_sync`].
    pub fn resume(&mut self, seq: i64, head: i64) {
        self.subscriber.disable_direct_write();
        self.set_delivered_seq(seq);
        self.sync_at = Some(head);
        self.read_ahead.clear();
        self.notify();
    }

    /// Returns the seq up to which the socket is in sync, once, when it has received the events up to the head at
    /// which it resumed.
    pub fn take_sync(&mut self) -> Option<i64> {
        let delivered_seq = self.delivered_seq;
        let head = self.sync_at.take_if(|head| *head <= delivered_seq)?;
        Some(delivered_seq.max(head))
    }

    /// Drops the announcement that the socket is in sync.
    pub fn cancel_sync(&mut self) {
        self.sync_at = None;
    }

    /// Makes the socket's task write all events while the protocol omits some of them.
    pub fn set_filtered(&mut self, is_filtered: bool) {
        self.is_filtered = is_filtered;
        if is_filtered {
            self.stop_direct_write();
        }
    }

    /// Requests a turn of the socket's task.
    pub fn notify(&self) {
        self.subscriber.notify();
    }

    /// Pauses the subscription, and requests a turn after the pause.
    pub fn retry_after(&mut self, pause: Duration) {
        self.retry_at = Some(Instant::now() + pause);
        let subscriber = self.subscriber.clone();
        // The task is not supervised. It ends after the pause, and changes nothing if the socket has ended.
        tokio::spawn(async move {
            sleep(pause).await;
            subscriber.notify();
        });
    }

    /// Returns `true` during the pause after a failed read.
    pub fn is_waiting_to_retry(&self) -> bool {
        self.retry_at.is_some_and(|end| end > Instant::now())
    }

    /// Begins a turn: only the socket's task writes, and later events request another turn.
    pub(super) fn begin_turn(&mut self) {
        self.subscriber.clear_notified();
        self.stop_direct_write();
    }

    /// Lets the room write the next events, if the socket has received all events and the protocol omits none.
    pub fn allow_direct_write(&self) {
        if self.sync_at.is_none() && !self.is_filtered {
            self.subscriber
                .enable_direct_write(self.delivered_seq, || self.room.last_seq());
        }
    }

    fn stop_direct_write(&mut self) {
        if let Some(seq) = self.subscriber.disable_direct_write() {
            self.set_delivered_seq(seq);
            self.read_ahead.drop_through(seq);
        }
    }

    fn set_delivered_seq(&mut self, seq: i64) {
        self.delivered_seq = seq;
        self.subscriber.set_task_seq(seq);
    }

    /// Returns `true` if the next events are new: the socket is not replaying older ones.
    pub fn is_live(&self) -> bool {
        self.sync_at.is_none()
    }

    /// Returns `true` if the next event must be read from the log.
    pub fn needs_log(&self) -> bool {
        self.room.needs_log_after(self.delivered_seq)
    }

    /// Waits until there may be events, and begins a turn. For the only subscription of a socket. Safe to cancel.
    pub async fn wait_for_events(&mut self) {
        self.subscriber.socket.wait_for_events().await;
        while self.subscriber.socket.next_ready_slot().is_some() {}
        self.begin_turn();
    }

    /// The reason for the loss of the subscription, where the socket has others.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.subscriber.close_reason()
    }

    /// Returns the next events, at most a batch, from the buffer or the log.
    ///
    /// # Errors
    /// When the log cannot be read. No event is lost: the next call tries again.
    pub async fn next_events(&mut self) -> Result<NextEvents, DbErr> {
        let mut events = self.room.next_events(self.delivered_seq);
        match events {
            NextEvents::InLog => {
                METRICS.buffer_reads.log.inc();
                events = self.next_from_log().await?;
            }
            NextEvents::Events(_) => drop(METRICS.buffer_reads.buffer.inc()),
            NextEvents::None => {}
        }
        self.mark_delivered(&events);
        Ok(events)
    }

    /// Returns the next events, if the buffer has them.
    pub fn next_buffered(&mut self) -> NextEvents {
        let events = self.room.next_events(self.delivered_seq);
        self.mark_delivered(&events);
        events
    }

    fn mark_delivered(&mut self, events: &NextEvents) {
        if let NextEvents::Events(events) = events
            && let Some(last) = events.last()
        {
            self.set_delivered_seq(last.seq);
            self.read_ahead.drop_through(last.seq);
        }
    }

    /// Brings this node up to a head of the log.
    pub async fn catch_up(&self, head: i64) {
        self.hub.gap_repair.catch_up(&self.room, head).await;
    }

    /// Takes the frames of the ephemeral events that wait.
    pub fn take_ephemeral_frames(&self) -> impl Iterator<Item = Utf8Bytes> + use<S> {
        let events = self.subscriber.take_ephemerals().into_iter();
        events.map(|event| event.frame())
    }

    /// Returns `true` if an event ends the user's membership.
    pub fn is_removed_by(&self, event: &EncodedEvent) -> bool {
        self.subscriber.is_removed_by(event)
    }

    async fn next_from_log(&mut self) -> Result<NextEvents, DbErr> {
        // The read-ahead may contain a text that was deleted since.
        self.read_ahead.drop_outdated(self.room.content_version());
        if self.read_ahead.is_empty() {
            let (hub, room) = (self.hub.clone(), self.room.clone());
            Box::pin(self.read_log(&hub, &room)).await?;
        }
        let batch = take_batch(self.read_ahead.iter().cloned(), BATCH_EVENTS, BATCH_BYTES);
        Ok(if batch.is_empty() {
            // Another socket has read the events, and the buffer has them now.
            self.room.next_events(self.delivered_seq)
        } else {
            NextEvents::Events(batch)
        })
    }

    async fn read_log(&mut self, hub: &Hub, room: &Room) -> Result<(), DbErr> {
        let turn_timeout = if self.subscriber.socket.scope == SocketScope::ManyGroups {
            LOG_READ_TURN_TIMEOUT
        } else {
            DB_TIMEOUT
        };
        let size = if self.read_ahead.is_socket_full() {
            PageSize::Reduced
        } else {
            PageSize::Full
        };
        let page = hub
            .log_reader
            .read(room, self.delivered_seq, size, turn_timeout)
            .await?;
        if let Some(page) = page {
            if page.events.is_empty() {
                // The log lacks the events, so there is nothing to wait for.
                self.set_delivered_seq(page.room_last_seq);
            }
            self.read_ahead.replace(page.events, page.content_version);
        }
        Ok(())
    }
}

impl<S> Drop for Subscription<S> {
    fn drop(&mut self) {
        // A broadcast may have the subscriber in its snapshot for a while.
        self.subscriber.disable_direct_write();
        self.hub.delivery.leave_room(&self.room, &self.subscriber);
    }
}
