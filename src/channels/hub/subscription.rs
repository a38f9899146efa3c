//! One socket's place in a group: how far it has been told, and what comes next.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{
    Hub, News,
    healing::in_time,
    room::{Cursor, Listener, Room},
};
use crate::{
    channels::protocol::{CloseReason, event::Told},
    models::events,
};

/// Events that are read from the log at once.
const PAGE: u64 = 256;

/// How many of them are written before the socket looks around; they may be large.
const READ_BATCH: usize = 16;

/// A socket's place in a group. Dropping it leaves the group.
pub(in crate::channels) struct Subscription {
    hub: Arc<Hub>,
    room: Arc<Room>,
    listener: Arc<Listener>,
    cursor: Cursor,
    /// What was read from the log and is not taken yet, in order.
    read: std::vec::IntoIter<Arc<Told>>,
}

impl Subscription {
    /// Begins after what the member was let in with.
    pub fn new(hub: Arc<Hub>, room: Arc<Room>, listener: Arc<Listener>) -> Self {
        let cursor = Cursor {
            seq: listener.admitted(),
            life: room.cursor().life,
        };
        Self {
            hub,
            room,
            listener,
            cursor,
            read: Vec::new().into_iter(),
        }
    }

    /// The last event that was told, here and to anybody.
    pub fn head(&self) -> i64 {
        self.room.cursor().seq.max(self.listener.admitted())
    }

    /// How far this socket has been told.
    pub fn told(&self) -> i64 {
        self.cursor.seq
    }

    /// Goes on after another event.
    pub fn go_to(&mut self, seq: i64) {
        self.cursor.seq = seq;
        self.read = Vec::new().into_iter();
    }

    /// Waits until there may be something to take.
    pub async fn news(&self) {
        self.listener.news.notified().await;
    }

    /// Waits until the socket must go.
    pub async fn over(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.listener.over() {
                return reason;
            }
            self.listener.ended.notified().await;
        }
    }

    /// What comes next, at most a batch of it; from the log where it is not kept here.
    ///
    /// # Errors
    /// When the log cannot be read. Nothing is lost: the next call tries again.
    pub async fn next(&mut self) -> Result<News, DbErr> {
        let mut news = self.room.news(self.cursor);
        if matches!(news, News::InTheLog) {
            if self.read.len() == 0 {
                self.read_log().await?;
            }
            let batch: Vec<_> = self.read.by_ref().take(READ_BATCH).collect();
            if batch.is_empty() {
                // Another socket has read the same meanwhile, and it is kept now.
                news = self.room.news(self.cursor);
            } else {
                self.cursor.seq = batch.last().map_or(self.cursor.seq, |last| last.seq);
                return Ok(News::Events(batch));
            }
        }
        match &news {
            News::Events(events) => {
                self.go_to(events.last().map_or(self.cursor.seq, |last| last.seq));
            }
            News::AnotherLog(cursor) => {
                self.go_to(cursor.seq);
                self.cursor = *cursor;
            }
            News::None | News::InTheLog => {}
        }
        Ok(news)
    }

    /// Whether this event ends the user's membership.
    pub fn is_put_out_by(&self, told: &Told) -> bool {
        self.listener.is_put_out_by(told)
    }

    async fn read_log(&mut self) -> Result<(), DbErr> {
        let reading = self.room.reading.lock().await;
        if !matches!(self.room.news(self.cursor), News::InTheLog) {
            return Ok(());
        }
        let _reader = self.hub.readers.acquire().await;
        let deletions = self.room.deletions();
        let last = self.room.cursor();
        let page = events::Model::after(&self.hub.db, self.room.id, self.cursor.seq, PAGE);
        let page = in_time(page).await?;
        if page.is_empty() {
            // The log has nothing there (any more): there is nothing to wait for.
            self.cursor.seq = last.seq;
        }
        let page: Vec<_> = page
            .iter()
            .map(|event| Arc::new(Told::new(&self.room.name, event)))
            .collect();
        self.room.keep_read(&page, last.life, deletions);
        drop(reading);
        self.read = page.into_iter();
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.room, &self.listener);
    }
}
