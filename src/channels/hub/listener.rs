//! One socket as its room knows it: how to reach it, and what was whispered to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::channels::protocol::{CloseReason, event::Told, whisper::Whispered};

/// Whispers that may wait for one socket.
const WHISPERS: usize = 32;

/// A socket's place among the listeners.
pub(in crate::channels) struct Listener {
    pub username: Arc<str>,
    /// How far the log had gone when its user was let in.
    pub admitted: i64,
    /// Where it stands among the listeners of its room.
    place: AtomicUsize,
    /// What is whispered to it. `None` for those that are never told.
    whispers: Option<Mutex<VecDeque<Arc<Whispered>>>>,
    /// Rings when there may be something to take.
    news: Notify,
    /// Why the socket must go, once it must.
    over: OnceLock<CloseReason>,
    /// Rings once, then.
    ended: Notify,
}

impl Listener {
    pub fn new(username: Arc<str>, admitted: i64, hears_whispers: bool) -> Self {
        Self {
            username,
            admitted,
            whispers: hears_whispers.then(Mutex::default),
            place: AtomicUsize::new(0),
            news: Notify::new(),
            over: OnceLock::new(),
            ended: Notify::new(),
        }
    }

    /// Whether this event ends the user's membership. (Another may have ended an earlier one.)
    pub fn is_put_out_by(&self, told: &Told) -> bool {
        told.seq > self.admitted && told.puts_out(&self.username)
    }

    pub fn end(&self, reason: CloseReason) {
        // The first reason is the one that is told.
        let _ = self.over.set(reason);
        self.ended.notify_one();
    }

    /// Takes what was whispered lately.
    pub fn whispers(&self) -> VecDeque<Arc<Whispered>> {
        let whispers = self.whispers.as_ref().map(|whispers| {
            std::mem::take(&mut *whispers.lock().unwrap_or_else(PoisonError::into_inner))
        });
        whispers.unwrap_or_default()
    }

    /// Puts a whisper where the socket finds it once it has told all events. What it makes out of
    /// date goes, and so does the oldest of too many: a socket that is behind misses them first.
    pub fn whisper(&self, whispered: &Arc<Whispered>) {
        let is_own_typing = whispered.is_typing && whispered.user == self.username;
        let Some(whispers) = self.whispers.as_ref().filter(|_| !is_own_typing) else {
            return;
        };
        let mut whispers = whispers.lock().unwrap_or_else(PoisonError::into_inner);
        whispers.retain(|older| !whispered.replaces(older));
        if whispers.len() >= WHISPERS {
            whispers.pop_front();
        }
        whispers.push_back(whispered.clone());
        self.news.notify_one();
    }

    /// Where it stands among the listeners of its room; they keep this up to date.
    pub fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    pub fn stand_at(&self, place: usize) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Lets the socket know that there may be something to take.
    pub fn ring(&self) {
        self.news.notify_one();
    }

    /// Waits until there may be something to take.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    pub fn over_now(&self) -> Option<CloseReason> {
        self.over.get().copied()
    }

    /// Waits until the socket must go.
    pub async fn over(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.over_now() {
                return reason;
            }
            self.ended.notified().await;
        }
    }
}
