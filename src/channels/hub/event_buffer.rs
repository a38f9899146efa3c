//! The end of a group's log, as far as it was told on this node. No I/O.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::buffer_memory::BufferShare;
use crate::channels::{
    protocol::event::{EncodedEvent, EventEffect},
    sequencer::Sequencer,
};

/// Events that are kept for sockets that are behind, or come back.
const BUFFER_EVENTS: usize = 256;

/// Bytes of them.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Events that a socket writes before it looks around.
const BATCH_EVENTS: usize = 64;

/// Bytes of them: one that takes less in half a minute takes nothing.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

pub(super) struct EventBuffer {
    sequencer: Sequencer<Arc<EncodedEvent>>,
    /// The last of what was told, without a gap.
    events: VecDeque<Arc<EncodedEvent>>,
    /// The ring's share of the memory of all rings.
    memory_share: BufferShare,
    /// When the last event came, or the group became active.
    last_event_at: Instant,
    /// Counts deletions and edits: events that were read before have the old texts.
    content_version: u64,
}

/// What a socket is to be told next.
pub(in crate::channels) enum NextEvents {
    /// Nothing for now.
    None,
    Events(Vec<Arc<EncodedEvent>>),
    /// The next event is no longer, or not yet, kept here: the log has it.
    InLog,
}

impl EventBuffer {
    /// All up to and with this event is taken as told.
    pub fn starting_after(head: i64, memory_share: BufferShare) -> Self {
        Self {
            sequencer: Sequencer::starting_after(head),
            events: VecDeque::new(),
            memory_share,
            last_event_at: Instant::now(),
            content_version: 0,
        }
    }

    /// The number of the last event that was told.
    pub fn last_seq(&self) -> i64 {
        self.sequencer.last_seq()
    }

    /// Whether an event is missing.
    pub fn has_gap(&self) -> bool {
        self.sequencer.has_gap()
    }

    /// The number of the last event, and how far a user has read who had read up to `read`, with so many
    /// messages `unread`, when the log ended at `after`: what one says oneself one has read.
    pub fn read_state(
        &self,
        user: &str,
        after: i64,
        (read, unread): (i64, i64),
    ) -> (i64, i64, i64) {
        let since = self.events.iter().filter(|told| told.seq > after);
        let (read, unread) = since.fold((read, unread), |(read, unread), told| match told.effect {
            EventEffect::CreatesMessage if told.actor.as_deref() == Some(user) => (told.seq, 0),
            EventEffect::CreatesMessage => (read, unread + 1),
            EventEffect::DeletesMessage(seq) if seq > read => (read, (unread - 1).max(0)),
            _ => (read, unread),
        });
        (self.sequencer.last_seq().max(after), read, unread)
    }

    pub fn content_version(&self) -> u64 {
        self.content_version
    }

    /// Takes an event into the order, and gives what is due.
    pub fn receive(&mut self, told: EncodedEvent) -> Vec<Arc<EncodedEvent>> {
        let due: Vec<_> = self
            .sequencer
            .receive(told.seq, Arc::new(told))
            .into_iter()
            .collect();
        for told in &due {
            self.push(told.clone());
        }
        due
    }

    /// No event before this number is missing any more.
    pub fn advance_to(&mut self, seq: i64) {
        if seq > self.sequencer.last_seq() {
            self.sequencer.advance_to(seq);
            self.clear();
        }
    }

    /// Whether what comes after an event is not kept here.
    pub fn needs_log_after(&self, seq: i64) -> bool {
        let first = self.events.front().map(|first| first.seq);
        seq < self.sequencer.last_seq() && first.is_none_or(|first| seq + 1 < first)
    }

    /// What comes after an event.
    pub fn next_events(&self, seq: i64) -> NextEvents {
        if seq >= self.sequencer.last_seq() {
            return NextEvents::None;
        }
        self.batch_after(seq)
            .map_or(NextEvents::InLog, NextEvents::Events)
    }

    /// Keeps events that a socket has read from the log, if they reach to where the kept ones begin,
    /// for those who come after it. `deletions` was counted before they were read.
    pub fn cache_older(&mut self, events: &[Arc<EncodedEvent>], deletions: u64) {
        if self.content_version != deletions {
            return;
        }
        let first_kept = self
            .events
            .front()
            .map_or(self.sequencer.last_seq() + 1, |first| first.seq);
        let mut begin = first_kept;
        for told in events
            .iter()
            .rev()
            .skip_while(|told| told.seq >= first_kept)
        {
            let is_full = self.events.len() >= BUFFER_EVENTS
                || self.memory_share.bytes() + told.size() > BUFFER_BYTES;
            if is_full || told.seq + 1 != begin {
                return;
            }
            begin = told.seq;
            self.memory_share.add(told.size());
            self.events.push_front(told.clone());
        }
    }

    fn push(&mut self, told: Arc<EncodedEvent>) {
        if matches!(
            told.effect,
            EventEffect::DeletesMessage(_) | EventEffect::EditsMessage
        ) {
            // The old text may be among the kept events. A socket that needs them reads the log, which has
            // no old texts.
            self.clear();
            self.content_version += 1;
        }
        self.last_event_at = Instant::now();
        self.memory_share.add(told.size());
        self.events.push_back(told);
        while self.events.len() > BUFFER_EVENTS || self.memory_share.bytes() > BUFFER_BYTES {
            match self.events.pop_front() {
                Some(oldest) => self.memory_share.remove(oldest.size()),
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
        self.clear();
        self.events.shrink_to_fit();
    }

    fn clear(&mut self) {
        self.events.clear();
        self.memory_share.clear();
    }

    /// A batch of what comes after an event, if it is kept.
    fn batch_after(&self, seq: i64) -> Option<Vec<Arc<EncodedEvent>>> {
        let first = self.events.front()?.seq;
        let skipped = usize::try_from(seq + 1 - first).ok()?;
        let batch = take_batch(self.events.iter().skip(skipped).cloned());
        Some(batch).filter(|batch| !batch.is_empty())
    }
}

/// As many events as a socket writes before it looks around: one at least, however large.
pub(super) fn take_batch(
    events: impl Iterator<Item = Arc<EncodedEvent>>,
) -> Vec<Arc<EncodedEvent>> {
    let mut bytes = 0;
    events
        .take(BATCH_EVENTS)
        .take_while(|told| {
            let fits = bytes == 0 || bytes + told.size() <= BATCH_BYTES;
            bytes += told.size();
            fits
        })
        .collect()
}
