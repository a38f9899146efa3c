//! One active group on this node: the end of its log, and who listens to it.
//!
//! There is no queue for each socket. All of them read the same [`Tail`], each from its own place,
//! at its own pace; who is further behind than it reaches reads the log itself. So a slow socket
//! costs nobody anything.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::listener::Listener;
use crate::channels::{
    broker::Subscribed,
    order::Order,
    protocol::{
        CloseReason,
        event::{Meaning, Told},
        whisper::Whispered,
    },
};

/// Events that are kept for sockets that are behind, or come back.
const RING: usize = 256;

/// Bytes of them.
const RING_BYTES: usize = 1024 * 1024;

/// Events that a socket writes before it looks around.
const BATCH: usize = 64;

/// Bytes of them: one that takes less in half a minute takes nothing.
const BATCH_BYTES: usize = 64 * 1024;

pub(in crate::channels) struct Room {
    pub id: i64,
    pub name: Arc<str>,
    pub subscribed: Subscribed,
    tail: Mutex<Tail>,
    listeners: Mutex<Vec<Arc<Listener>>>,
    /// Held by the one socket that reads the log for all that are as far behind as it is.
    pub reading: tokio::sync::Mutex<()>,
    /// Whether the healer has been told of a gap, so that it is told once.
    gap_reported: AtomicBool,
}

/// The end of a group's log, as far as it was told here.
struct Tail {
    order: Order<Arc<Told>>,
    /// The last of what was told, without a gap.
    ring: VecDeque<Arc<Told>>,
    ring_bytes: usize,
    /// Counts deletions of texts, which must not come back from what was read before.
    deletions: u64,
}

/// What a socket is to be told next.
pub(in crate::channels) enum News {
    /// Nothing for now.
    None,
    Events(Vec<Arc<Told>>),
    /// The next event is no longer, or not yet, kept here: the log has it.
    InTheLog,
}

impl Room {
    /// A room in which all up to and with `head` is taken as told.
    pub fn new(id: i64, name: Arc<str>, head: i64, subscribed: Subscribed) -> Self {
        Self {
            id,
            name,
            subscribed,
            tail: Mutex::new(Tail {
                order: Order::after(head),
                ring: VecDeque::new(),
                ring_bytes: 0,
                deletions: 0,
            }),
            listeners: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            gap_reported: AtomicBool::new(false),
        }
    }

    pub fn enter(&self, listener: Arc<Listener>) {
        let mut listeners = self.listeners();
        listener.stand_at(listeners.len());
        listeners.push(listener);
    }

    /// Whether nobody is left.
    pub fn leave(&self, listener: &Arc<Listener>) -> bool {
        let mut listeners = self.listeners();
        let place = listener.standing();
        if listeners
            .get(place)
            .is_some_and(|there| Arc::ptr_eq(there, listener))
        {
            listeners.swap_remove(place);
            // Whoever was the last stands here now.
            if let Some(moved) = listeners.get(place) {
                moved.stand_at(place);
            }
        }
        listeners.is_empty()
    }

    pub fn count(&self) -> usize {
        self.listeners().len()
    }

    /// The number of the last event that was told here.
    pub fn last(&self) -> i64 {
        self.tail().order.last()
    }

    /// Takes events into the order, and tells what is due. Says whether one is missing.
    pub fn arrive(&self, events: impl IntoIterator<Item = Told>) -> bool {
        let mut tail = self.tail();
        let mut is_told = false;
        for told in events {
            // At once, and before its turn: who is put out may be stuck in a write and never come
            // to read of it, and what is missing before it may take its time.
            if matches!(told.meaning, Meaning::Left(_)) {
                self.put_out(&told);
            }
            for told in tail.order.arrive(told.seq, Arc::new(told)) {
                tail.keep(told);
                is_told = true;
            }
        }
        let is_gapped = tail.order.is_gapped();
        drop(tail);
        if is_told {
            for listener in self.listeners().iter() {
                listener.ring();
            }
        }
        is_gapped
    }

    /// Takes it from the log that no event before this number is missing any more.
    pub fn skip_to(&self, seq: i64) {
        let mut tail = self.tail();
        if seq > tail.order.last() {
            tail.order.skip_to(seq);
            tail.forget();
        }
    }

    /// What comes after an event.
    pub fn news(&self, seq: i64) -> News {
        let tail = self.tail();
        if seq >= tail.order.last() {
            return News::None;
        }
        tail.after(seq).map_or(News::InTheLog, News::Events)
    }

    /// Counts the deletions so far, for [`Room::keep_read`].
    pub fn deletions(&self) -> u64 {
        self.tail().deletions
    }

    /// Keeps events that a socket has read from the log, if they reach to where the kept ones begin,
    /// for those who come after it. `deletions` was counted before they were read.
    pub fn keep_read(&self, events: &[Arc<Told>], deletions: u64) {
        let mut tail = self.tail();
        if tail.deletions != deletions {
            return;
        }
        let first_kept = tail
            .ring
            .front()
            .map_or(tail.order.last() + 1, |first| first.seq);
        let mut begin = first_kept;
        for told in events
            .iter()
            .rev()
            .skip_while(|told| told.seq >= first_kept)
        {
            let is_full = tail.ring.len() >= RING || tail.ring_bytes + told.size() > RING_BYTES;
            if is_full || told.seq + 1 != begin {
                return;
            }
            begin = told.seq;
            tail.ring_bytes += told.size();
            tail.ring.push_front(told.clone());
        }
    }

    /// Tells those who are here of something that is in no log.
    pub fn whisper(&self, whispered: &Arc<Whispered>) {
        for listener in self.listeners().iter() {
            listener.whisper(whispered);
        }
    }

    /// Notes that a gap is known. Says whether it was not, until now.
    pub fn note_gap(&self) -> bool {
        !self.gap_reported.swap(true, Ordering::Relaxed)
    }

    pub fn forget_gap(&self) {
        self.gap_reported.store(false, Ordering::Relaxed);
    }

    /// Ends all sockets here.
    pub fn end(&self, reason: CloseReason) {
        for listener in self.listeners().iter() {
            listener.end(reason);
        }
    }

    fn put_out(&self, told: &Told) {
        for listener in self.listeners().iter() {
            if listener.is_put_out_by(told) {
                listener.end(CloseReason::NotMember);
            }
        }
    }

    // A panic elsewhere leaves both as they were between two calls of their own methods.

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn keep(&mut self, told: Arc<Told>) {
        if told.meaning == Meaning::Deletion {
            // The text that it deletes may be among them. Whoever needs them reads the log, which
            // has them without it.
            self.forget();
            self.deletions += 1;
        }
        self.ring_bytes += told.size();
        self.ring.push_back(told);
        while self.ring.len() > RING || self.ring_bytes > RING_BYTES {
            match self.ring.pop_front() {
                Some(oldest) => self.ring_bytes -= oldest.size(),
                None => break,
            }
        }
    }

    fn forget(&mut self) {
        self.ring.clear();
        self.ring_bytes = 0;
    }

    /// A batch of what comes after an event, if it is kept.
    fn after(&self, seq: i64) -> Option<Vec<Arc<Told>>> {
        let first = self.ring.front()?.seq;
        let skipped = usize::try_from(seq + 1 - first).ok()?;
        let batch = batch_of(self.ring.iter().skip(skipped).cloned());
        Some(batch).filter(|batch| !batch.is_empty())
    }
}

/// As many events as a socket writes before it looks around: one at least, however large.
pub(super) fn batch_of(events: impl Iterator<Item = Arc<Told>>) -> Vec<Arc<Told>> {
    let mut bytes = 0;
    events
        .take(BATCH)
        .take_while(|told| {
            let fits = bytes == 0 || bytes + told.size() <= BATCH_BYTES;
            bytes += told.size();
            fits
        })
        .collect()
}
