//! A socket's place in one group: how far it has been told, and what comes next.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep, timeout};

use super::{
    DB_TIMEOUT, Hub, NextEvents, SocketScope,
    event_buffer::{BATCH_BYTES, take_batch},
    gap_repair::with_db_timeout,
    read_ahead::ReadAhead,
    room::{OnlineUsers, Room},
    subscriber::Subscriber,
};
use crate::{
    channels::{
        Member,
        protocol::{CloseReason, event::EncodedEvent},
    },
    models::events,
};

/// Events that are read from the log at once, at most.
const LOG_PAGE_EVENTS: u64 = 64;

/// How long the other groups of a socket wait for the turn of one of them to be read.
const LOG_READ_TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of them that are kept until they are taken, beyond the first.
const LOG_PAGE_BYTES: usize = 256 * 1024;

/// Events that are read at once while the other groups of the socket fill its read-ahead.
const REDUCED_PAGE_EVENTS: u64 = 8;

/// A socket's place in a group. Dropping it leaves the group.
pub(in crate::channels) struct Subscription {
    hub: Arc<Hub>,
    room: Arc<Room>,
    subscriber: Arc<Subscriber>,
    /// The last event that the socket was told.
    delivered_seq: i64,
    /// The events that were read from the log and not taken yet, in order.
    read_ahead: ReadAhead,
    /// When it tries again to read the log, if it could not.
    retry_at: Option<Instant>,
    /// The deletions that were known when it was read.
    content_version: u64,
}

impl Subscription {
    /// Begins after what the member was let in with.
    pub fn new(hub: Arc<Hub>, room: Arc<Room>, subscriber: Arc<Subscriber>) -> Self {
        Self {
            delivered_seq: subscriber.joined_at_seq,
            read_ahead: ReadAhead::new(subscriber.socket.read_ahead.clone()),
            hub,
            room,
            subscriber,
            retry_at: None,
            content_version: 0,
        }
    }

    /// The last event that was told here to anybody.
    pub fn room_last_seq(&self) -> i64 {
        self.room.last_seq()
    }

    /// Where the log ends, and how far a member has read of it and how many messages not, by now.
    pub fn read_state(&self, member: &Member) -> (i64, i64, i64) {
        self.room.read_state(member)
    }

    /// How far this socket has been told.
    pub fn delivered_seq(&self) -> i64 {
        self.delivered_seq
    }

    /// Goes on after another event.
    pub fn seek(&mut self, seq: i64) {
        self.subscriber.disable_direct_write();
        self.delivered_seq = seq;
        self.read_ahead.clear();
        self.notify();
    }

    /// Asks for a turn.
    pub fn notify(&self) {
        self.subscriber.notify();
    }

    /// Does nothing for a while, then asks for a turn.
    pub fn retry_after(&mut self, wait: Duration) {
        self.retry_at = Some(Instant::now() + wait);
        let listener = self.subscriber.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            listener.notify();
        });
    }

    pub fn is_waiting_to_retry(&self) -> bool {
        self.retry_at.is_some_and(|until| until > Instant::now())
    }

    /// Takes its turn: what comes from now on asks for another.
    pub fn begin_turn(&mut self) {
        self.subscriber.clear_notified();
        if let Some(told) = self.subscriber.disable_direct_write() {
            self.delivered_seq = told;
            self.read_ahead.drop_through(told);
        }
    }

    /// Has the room tell what comes next, without a turn of this socket's task: it was told all there
    /// is.
    pub fn enable_direct_write(&self) {
        self.subscriber
            .enable_direct_write(self.delivered_seq, || self.room.last_seq());
    }

    /// Whether what comes next must be read from the log.
    pub fn needs_log(&self) -> bool {
        self.room.needs_log_after(self.delivered_seq)
    }

    /// Waits until there may be something to take, where the socket has no other place. Safe to be
    /// cancelled.
    pub async fn wait_for_events(&mut self) {
        self.subscriber.socket.wait_for_events().await;
        while self.subscriber.socket.next_ready_slot().is_some() {}
        self.begin_turn();
    }

    /// Why this place is lost, if it is, where the socket has others.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.subscriber.close_reason()
    }

    /// What comes next, at most a batch of it; from the log where it is not kept here.
    ///
    /// # Errors
    /// When the log cannot be read. Nothing is lost: the next call tries again.
    pub async fn next_events(&mut self) -> Result<NextEvents, DbErr> {
        let mut news = self.room.next_events(self.delivered_seq);
        if matches!(news, NextEvents::InLog) {
            news = self.next_from_log().await?;
        }
        self.mark_delivered(&news);
        Ok(news)
    }

    /// What comes next, as far as it is kept here.
    pub fn next_buffered(&mut self) -> NextEvents {
        let news = self.room.next_events(self.delivered_seq);
        self.mark_delivered(&news);
        news
    }

    fn mark_delivered(&mut self, news: &NextEvents) {
        if let NextEvents::Events(events) = news
            && let Some(last) = events.last()
        {
            self.delivered_seq = last.seq;
            self.read_ahead.drop_through(last.seq);
        }
    }

    /// Who is here, or how many.
    pub fn online_users(&self) -> OnlineUsers {
        self.room.online_users()
    }

    /// Brings this node to where the log is known to be.
    pub async fn catch_up(&self, head: i64) {
        self.hub.catch_up(&self.room, head).await;
    }

    /// Takes what was whispered lately.
    pub fn take_ephemeral_frames(&self) -> impl Iterator<Item = Utf8Bytes> + use<> {
        let whispers = self.subscriber.take_ephemerals().into_iter();
        whispers.map(|whispered| whispered.frame())
    }

    /// Whether this event ends the user's membership.
    pub fn is_removed_by(&self, told: &EncodedEvent) -> bool {
        self.subscriber.is_removed_by(told)
    }

    async fn next_from_log(&mut self) -> Result<NextEvents, DbErr> {
        if self.content_version != self.room.content_version() {
            // What was read may have a text that has been deleted since.
            self.read_ahead.clear();
        }
        if self.read_ahead.is_empty() {
            let (hub, room) = (self.hub.clone(), self.room.clone());
            Box::pin(self.read_log(&hub, &room)).await?;
        }
        let batch = take_batch(self.read_ahead.iter().cloned());
        Ok(if batch.is_empty() {
            // Another socket has read the same meanwhile, and it is kept now.
            self.room.next_events(self.delivered_seq)
        } else {
            NextEvents::Events(batch)
        })
    }

    async fn read_log(&mut self, hub: &Hub, room: &Room) -> Result<(), DbErr> {
        // One socket reads for all that are as far behind as it is.
        let patience = if self.subscriber.socket.scope == SocketScope::ManyGroups {
            LOG_READ_TURN_TIMEOUT
        } else {
            DB_TIMEOUT
        };
        let turn = async {
            (
                room.log_read_lock.lock().await,
                hub.log_read_permits.acquire().await,
            )
        };
        let _turn = timeout(patience, turn)
            .await
            .map_err(|_| DbErr::Custom("too many wait to read the log".to_owned()))?;
        if !matches!(room.next_events(self.delivered_seq), NextEvents::InLog) {
            return Ok(());
        }
        let (deletions, last) = (room.content_version(), room.last_seq());
        let (events, most) = if self.read_ahead.is_socket_full() {
            (REDUCED_PAGE_EVENTS, BATCH_BYTES)
        } else {
            (LOG_PAGE_EVENTS, LOG_PAGE_BYTES)
        };
        let page = with_db_timeout(events::Model::list_after(
            &hub.db,
            room.id,
            self.delivered_seq,
            events,
        ))
        .await?;
        if page.is_empty() {
            // The log has nothing there (any more): there is nothing to wait for.
            self.delivered_seq = last;
        }
        let mut bytes = 0;
        let page: Vec<_> = page
            .iter()
            .map(|event| Arc::new(EncodedEvent::encode(&room.name, event)))
            .take_while(|told| {
                let fits = bytes == 0 || bytes + told.size() <= most;
                bytes += told.size();
                fits
            })
            .collect();
        room.cache_older(&page, deletions);
        self.content_version = deletions;
        self.read_ahead.replace(page);
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Whoever is telling may know it for a while yet.
        self.subscriber.disable_direct_write();
        self.hub.leave_room(&self.room, &self.subscriber);
    }
}
