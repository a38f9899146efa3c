//! A socket's place in one group: how far it has been told, and what comes next.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;
use tokio::time::{Instant, sleep, timeout};

use super::{
    ANSWER_WITHIN, Hub, News, Scope,
    healing::in_time,
    listener::Listener,
    read_ahead::ReadAhead,
    room::{Attendance, Room},
    tail::{BATCH_BYTES, batch_of},
};
use crate::{
    channels::{
        Member,
        protocol::{CloseReason, event::Told},
    },
    models::events,
};

/// Events that are read from the log at once, at most.
const PAGE: u64 = 64;

/// How long the other groups of a socket wait for the turn of one of them to be read.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of them that are kept until they are taken, beyond the first.
const PAGE_BYTES: usize = 256 * 1024;

/// Events that are read at once while the other groups of the socket fill its read-ahead.
const FEW: u64 = 8;

/// A socket's place in a group. Dropping it leaves the group.
pub(in crate::channels) struct Subscription {
    hub: Arc<Hub>,
    room: Arc<Room>,
    listener: Arc<Listener>,
    /// The last event that the socket was told.
    told: i64,
    /// The events that were read from the log and not taken yet, in order.
    read: ReadAhead,
    /// When it tries again to read the log, if it could not.
    resting: Option<Instant>,
    /// The deletions that were known when it was read.
    deletions: u64,
}

impl Subscription {
    /// Begins after what the member was let in with.
    pub fn new(hub: Arc<Hub>, room: Arc<Room>, listener: Arc<Listener>) -> Self {
        Self {
            told: listener.admitted,
            read: ReadAhead::new(listener.peer.read_ahead.clone()),
            hub,
            room,
            listener,
            resting: None,
            deletions: 0,
        }
    }

    /// The last event that was told here to anybody.
    pub fn last(&self) -> i64 {
        self.room.last()
    }

    /// Where the log ends, and how far a member has read of it and how many messages not, by now.
    pub fn standing(&self, member: &Member) -> (i64, i64, i64) {
        self.room.standing(member)
    }

    /// How far this socket has been told.
    pub fn told(&self) -> i64 {
        self.told
    }

    /// Goes on after another event.
    pub fn go_to(&mut self, seq: i64) {
        self.listener.close_lane();
        self.told = seq;
        self.read.clear();
        self.ring();
    }

    /// Asks for a turn.
    pub fn ring(&self) {
        self.listener.ring();
    }

    /// Does nothing for a while, then asks for a turn.
    pub fn rest(&mut self, wait: Duration) {
        self.resting = Some(Instant::now() + wait);
        let listener = self.listener.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            listener.ring();
        });
    }

    pub fn is_resting(&self) -> bool {
        self.resting.is_some_and(|until| until > Instant::now())
    }

    /// Takes its turn: what comes from now on asks for another.
    pub fn look(&mut self) {
        self.listener.look();
        if let Some(told) = self.listener.close_lane() {
            self.told = told;
            self.read.drop_to(told);
        }
    }

    /// Has the room tell what comes next, without a turn of this socket's task: it was told all there
    /// is.
    pub fn let_the_room_tell(&self) {
        self.listener.open_lane(self.told, || self.room.last());
    }

    /// Whether what comes next must be read from the log.
    pub fn is_behind(&self) -> bool {
        self.room.is_behind(self.told)
    }

    /// Waits until there may be something to take, where the socket has no other place. Safe to be
    /// cancelled.
    pub async fn news(&mut self) {
        self.listener.peer.news().await;
        while self.listener.peer.take_rung().is_some() {}
        self.look();
    }

    /// Why this place is lost, if it is, where the socket has others.
    pub fn over(&self) -> Option<CloseReason> {
        self.listener.over()
    }

    /// What comes next, at most a batch of it; from the log where it is not kept here.
    ///
    /// # Errors
    /// When the log cannot be read. Nothing is lost: the next call tries again.
    pub async fn next(&mut self) -> Result<News, DbErr> {
        let mut news = self.room.news(self.told);
        if matches!(news, News::InTheLog) {
            news = self.next_of_log().await?;
        }
        self.take(&news);
        Ok(news)
    }

    /// What comes next, as far as it is kept here.
    pub fn next_kept(&mut self) -> News {
        let news = self.room.news(self.told);
        self.take(&news);
        news
    }

    fn take(&mut self, news: &News) {
        if let News::Events(events) = news
            && let Some(last) = events.last()
        {
            self.told = last.seq;
            self.read.drop_to(last.seq);
        }
    }

    /// Who is here, or how many.
    pub fn attendance(&self) -> Attendance {
        self.room.attendance()
    }

    /// Brings this node to where the log is known to be.
    pub async fn catch_up(&self, head: i64) {
        self.hub.catch_up(&self.room, head).await;
    }

    /// Takes what was whispered lately.
    pub fn whispers(&self) -> impl Iterator<Item = Utf8Bytes> + use<> {
        let whispers = self.listener.whispers().into_iter();
        whispers.map(|whispered| whispered.frame())
    }

    /// Whether this event ends the user's membership.
    pub fn is_put_out_by(&self, told: &Told) -> bool {
        self.listener.is_put_out_by(told)
    }

    async fn next_of_log(&mut self) -> Result<News, DbErr> {
        if self.deletions != self.room.deletions() {
            // What was read may have a text that has been deleted since.
            self.read.clear();
        }
        if self.read.is_empty() {
            let (hub, room) = (self.hub.clone(), self.room.clone());
            Box::pin(self.read_log(&hub, &room)).await?;
        }
        let batch = batch_of(self.read.iter().cloned());
        Ok(if batch.is_empty() {
            // Another socket has read the same meanwhile, and it is kept now.
            self.room.news(self.told)
        } else {
            News::Events(batch)
        })
    }

    async fn read_log(&mut self, hub: &Hub, room: &Room) -> Result<(), DbErr> {
        // One socket reads for all that are as far behind as it is.
        let patience = if self.listener.peer.scope == Scope::Groups {
            TURN_WITHIN
        } else {
            ANSWER_WITHIN
        };
        let turn = async { (room.reading.lock().await, hub.readers.acquire().await) };
        let _turn = timeout(patience, turn)
            .await
            .map_err(|_| DbErr::Custom("too many wait to read the log".to_owned()))?;
        if !matches!(room.news(self.told), News::InTheLog) {
            return Ok(());
        }
        let (deletions, last) = (room.deletions(), room.last());
        let (events, most) = if self.read.is_socket_full() {
            (FEW, BATCH_BYTES)
        } else {
            (PAGE, PAGE_BYTES)
        };
        let page = in_time(events::Model::after(&hub.db, room.id, self.told, events)).await?;
        if page.is_empty() {
            // The log has nothing there (any more): there is nothing to wait for.
            self.told = last;
        }
        let mut bytes = 0;
        let page: Vec<_> = page
            .iter()
            .map(|event| Arc::new(Told::new(&room.name, event)))
            .take_while(|told| {
                let fits = bytes == 0 || bytes + told.size() <= most;
                bytes += told.size();
                fits
            })
            .collect();
        room.keep_read(&page, deletions);
        self.deletions = deletions;
        self.read.replace(page);
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Whoever is telling may know it for a while yet.
        self.listener.close_lane();
        self.hub.leave(&self.room, &self.listener);
    }
}
