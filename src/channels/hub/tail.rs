//! The end of a group's log, as far as it was told on this node. No I/O.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::buffers::BufferShare;
use crate::channels::{
    order::Order,
    protocol::event::{Meaning, Told},
};

/// Events that are kept for sockets that are behind, or come back.
const RING: usize = 256;

/// Bytes of them.
const RING_BYTES: usize = 1024 * 1024;

/// Events that a socket writes before it looks around.
const BATCH: usize = 64;

/// Bytes of them: one that takes less in half a minute takes nothing.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

pub(super) struct Tail {
    order: Order<Arc<Told>>,
    /// The last of what was told, without a gap.
    ring: VecDeque<Arc<Told>>,
    /// The ring's share of the memory of all rings.
    share: BufferShare,
    /// When the last event came, or the group became active.
    last_event_at: Instant,
    /// Counts deletions and edits: events that were read before have the old texts.
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

impl Tail {
    /// All up to and with this event is taken as told.
    pub fn after(head: i64, share: BufferShare) -> Self {
        Self {
            order: Order::after(head),
            ring: VecDeque::new(),
            share,
            last_event_at: Instant::now(),
            deletions: 0,
        }
    }

    /// The number of the last event that was told.
    pub fn last(&self) -> i64 {
        self.order.last()
    }

    /// Whether an event is missing.
    pub fn is_gapped(&self) -> bool {
        self.order.is_gapped()
    }

    /// The number of the last event, and how far a user has read who had read up to `read`, with so many
    /// messages `unread`, when the log ended at `after`: what one says oneself one has read.
    pub fn standing(&self, user: &str, after: i64, (read, unread): (i64, i64)) -> (i64, i64, i64) {
        let since = self.ring.iter().filter(|told| told.seq > after);
        let (read, unread) =
            since.fold((read, unread), |(read, unread), told| match told.meaning {
                Meaning::Message if told.by.as_deref() == Some(user) => (told.seq, 0),
                Meaning::Message => (read, unread + 1),
                Meaning::Deletion(seq) if seq > read => (read, (unread - 1).max(0)),
                _ => (read, unread),
            });
        (self.order.last().max(after), read, unread)
    }

    pub fn deletions(&self) -> u64 {
        self.deletions
    }

    /// Takes an event into the order, and gives what is due.
    pub fn arrive(&mut self, told: Told) -> Vec<Arc<Told>> {
        let due: Vec<_> = self
            .order
            .arrive(told.seq, Arc::new(told))
            .into_iter()
            .collect();
        for told in &due {
            self.keep(told.clone());
        }
        due
    }

    /// No event before this number is missing any more.
    pub fn skip_to(&mut self, seq: i64) {
        if seq > self.order.last() {
            self.order.skip_to(seq);
            self.forget();
        }
    }

    /// Whether what comes after an event is not kept here.
    pub fn is_behind(&self, seq: i64) -> bool {
        let first = self.ring.front().map(|first| first.seq);
        seq < self.order.last() && first.is_none_or(|first| seq + 1 < first)
    }

    /// What comes after an event.
    pub fn news(&self, seq: i64) -> News {
        if seq >= self.order.last() {
            return News::None;
        }
        self.batch_after(seq).map_or(News::InTheLog, News::Events)
    }

    /// Keeps events that a socket has read from the log, if they reach to where the kept ones begin,
    /// for those who come after it. `deletions` was counted before they were read.
    pub fn keep_read(&mut self, events: &[Arc<Told>], deletions: u64) {
        if self.deletions != deletions {
            return;
        }
        let first_kept = self
            .ring
            .front()
            .map_or(self.order.last() + 1, |first| first.seq);
        let mut begin = first_kept;
        for told in events
            .iter()
            .rev()
            .skip_while(|told| told.seq >= first_kept)
        {
            let is_full = self.ring.len() >= RING || self.share.bytes() + told.size() > RING_BYTES;
            if is_full || told.seq + 1 != begin {
                return;
            }
            begin = told.seq;
            self.share.add(told.size());
            self.ring.push_front(told.clone());
        }
    }

    fn keep(&mut self, told: Arc<Told>) {
        if matches!(told.meaning, Meaning::Deletion(_) | Meaning::Edit) {
            // The old text may be among the kept events. A socket that needs them reads the log, which has
            // no old texts.
            self.forget();
            self.deletions += 1;
        }
        self.last_event_at = Instant::now();
        self.share.add(told.size());
        self.ring.push_back(told);
        while self.ring.len() > RING || self.share.bytes() > RING_BYTES {
            match self.ring.pop_front() {
                Some(oldest) => self.share.remove(oldest.size()),
                None => break,
            }
        }
    }

    /// When the last event came.
    pub fn last_event_at(&self) -> Instant {
        self.last_event_at
    }

    /// Gives all kept events back: who needs them reads the log.
    pub fn evict(&mut self) {
        self.forget();
        self.ring.shrink_to_fit();
    }

    fn forget(&mut self) {
        self.ring.clear();
        self.share.clear();
    }

    /// A batch of what comes after an event, if it is kept.
    fn batch_after(&self, seq: i64) -> Option<Vec<Arc<Told>>> {
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
