//! The last events of one group on this node. No I/O.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{buffer_memory::BufferShare, sequencer::Sequencer};
use crate::channels::protocol::event::{EncodedEvent, EventEffect};

/// Events that are kept for sockets that are behind, or resume.
const BUFFER_EVENTS: usize = 256;

/// Bytes of the kept events.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Events that a socket writes before it handles other work.
pub(super) const BATCH_EVENTS: usize = 64;

/// Bytes of a batch. A client that receives less within the stall timeout is a slow consumer.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// The events of a group, in order: a [`Sequencer`], and the last events that the sequencer returned.
pub(super) struct EventBuffer {
    sequencer: Sequencer<Arc<EncodedEvent>>,
    /// The last events in order, without a gap.
    events: VecDeque<Arc<EncodedEvent>>,
    /// The buffer's share of the memory of all buffers.
    memory_share: BufferShare,
    /// The time of the last event, or the time when the group became active.
    last_event_at: Instant,
    /// The number of deletions and edits so far. Events that were read before contain old texts.
    content_version: u64,
}

/// The events that a socket receives next.
pub(in crate::channels) enum NextEvents {
    /// The socket has received all events.
    None,
    Events(Vec<Arc<EncodedEvent>>),
    /// The next event is not in the buffer, and must be read from the log.
    InLog,
}

impl EventBuffer {
    /// An empty buffer, for which all events up to `head` count as received.
    pub fn starting_after(head: i64, memory_share: BufferShare) -> Self {
        Self {
            sequencer: Sequencer::starting_after(head),
            events: VecDeque::new(),
            memory_share,
            last_event_at: Instant::now(),
            content_version: 0,
        }
    }

    /// The seq of the last event in order.
    pub fn last_seq(&self) -> i64 {
        self.sequencer.last_seq()
    }

    /// Returns `true` while an event is missing.
    pub fn has_gap(&self) -> bool {
        self.sequencer.has_gap()
    }

    /// Returns a head of the log, and the read position and unread count of a user at that head. The user had
    /// read up to `read`, with `unread` messages after it, when the log ended at `after`. Own messages count as read.
    ///
    /// The head is the last event's seq, or `after` if the buffer lacks some of the events after `after`.
    pub fn read_state(
        &self,
        user: &str,
        after: i64,
        (read, unread): (i64, i64),
    ) -> (i64, i64, i64) {
        if self.needs_log_after(after) {
            return (after, read, unread);
        }
        let later = self.events.iter().filter(|event| event.seq > after);
        let (read, unread) =
            later.fold((read, unread), |(read, unread), event| match event.effect {
                EventEffect::CreatesMessage if event.actor.as_deref() == Some(user) => {
                    (event.seq, 0)
                }
                EventEffect::CreatesMessage => (read, unread + 1),
                EventEffect::DeletesMessage(seq) if seq > read => (read, (unread - 1).max(0)),
                _ => (read, unread),
            });
        (self.sequencer.last_seq().max(after), read, unread)
    }

    /// The number of deletions and edits so far.
    pub fn content_version(&self) -> u64 {
        self.content_version
    }

    /// Takes an event and returns the events that are next in order.
    pub fn receive(&mut self, event: EncodedEvent) -> Vec<Arc<EncodedEvent>> {
        let ready = self.sequencer.receive(event.seq, Arc::new(event));
        for event in &ready {
            self.push(event.clone());
        }
        ready
    }

    /// Skips to a seq, because the log shows that no event up to this seq is missing.
    pub fn advance_to(&mut self, seq: i64) {
        if seq > self.sequencer.last_seq() {
            self.sequencer.advance_to(seq);
            self.clear();
        }
    }

    /// Returns `true` if the event after `seq` must be read from the log.
    pub fn needs_log_after(&self, seq: i64) -> bool {
        let first = self.events.front().map(|first| first.seq);
        seq < self.sequencer.last_seq() && first.is_none_or(|first| seq + 1 < first)
    }

    /// Returns a batch of the events after `seq`.
    pub fn next_events(&self, seq: i64) -> NextEvents {
        if seq >= self.sequencer.last_seq() {
            return NextEvents::None;
        }
        self.batch_after(seq)
            .map_or(NextEvents::InLog, NextEvents::Events)
    }

    /// Keeps events that a socket has read from the log for other sockets, if they end where the buffer begins.
    /// `content_version` is the version before the read: events with old texts are not kept.
    pub fn cache_older(&mut self, events: &[Arc<EncodedEvent>], content_version: u64) {
        if self.content_version != content_version {
            return;
        }
        let first_kept = self
            .events
            .front()
            .map_or(self.sequencer.last_seq() + 1, |first| first.seq);
        let mut next = first_kept;
        for event in events
            .iter()
            .rev()
            .skip_while(|event| event.seq >= first_kept)
        {
            let is_full = self.events.len() >= BUFFER_EVENTS
                || self.memory_share.bytes() + event.size() > BUFFER_BYTES;
            if is_full || event.seq + 1 != next {
                return;
            }
            next = event.seq;
            self.memory_share.add(event.size());
            self.events.push_front(event.clone());
        }
    }

    fn push(&mut self, event: Arc<EncodedEvent>) {
        if matches!(
            event.effect,
            EventEffect::DeletesMessage(_) | EventEffect::EditsMessage
        ) {
            // The old text may be among the kept events. Sockets that need these events read the log, which has
            // only the new text.
            self.clear();
            self.content_version += 1;
        }
        self.last_event_at = Instant::now();
        self.memory_share.add(event.size());
        self.events.push_back(event);
        while self.events.len() > BUFFER_EVENTS || self.memory_share.bytes() > BUFFER_BYTES {
            match self.events.pop_front() {
                Some(oldest) => self.memory_share.remove(oldest.size()),
                None => break,
            }
        }
    }

    /// The time of the last event.
    pub fn last_event_at(&self) -> Instant {
        self.last_event_at
    }

    /// Drops all kept events and their memory. Sockets that need the events read the log.
    pub fn evict(&mut self) {
        self.clear();
        self.events.shrink_to_fit();
    }

    fn clear(&mut self) {
        self.events.clear();
        self.memory_share.clear();
    }

    /// A batch of the events after `seq`, if the buffer has the first of them.
    fn batch_after(&self, seq: i64) -> Option<Vec<Arc<EncodedEvent>>> {
        let first = self.events.front()?.seq;
        let skipped = usize::try_from(seq + 1 - first).ok()?;
        let later = self.events.iter().skip(skipped).cloned();
        let batch = take_batch(later, BATCH_EVENTS, BATCH_BYTES);
        Some(batch).filter(|batch| !batch.is_empty())
    }
}

/// Takes events up to a number of events and of bytes, but at least one event, however large it is.
pub(super) fn take_batch(
    events: impl Iterator<Item = Arc<EncodedEvent>>,
    max_events: usize,
    max_bytes: usize,
) -> Vec<Arc<EncodedEvent>> {
    let mut bytes = 0;
    events
        .take(max_events)
        .take_while(|event| {
            let fits = bytes == 0 || bytes + event.size() <= max_bytes;
            bytes += event.size();
            fits
        })
        .collect()
}
