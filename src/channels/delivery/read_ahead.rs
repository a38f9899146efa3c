//! Events that a subscription has read from the log and not sent. No I/O.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::channels::protocol::event::EncodedEvent;

/// Bytes that all subscriptions of one socket may keep together. Above this limit each subscription reads only the
/// events that are sent next.
const MAX_READ_AHEAD_BYTES: usize = 1024 * 1024;

/// The bytes that the subscriptions of one socket keep. Clones share the count.
#[derive(Clone, Default)]
pub(in crate::channels) struct ReadAheadBytes(Arc<AtomicUsize>);

/// The events of one subscription.
pub(super) struct ReadAhead {
    /// The events in order.
    events: VecDeque<Arc<EncodedEvent>>,
    bytes: usize,
    /// The room's content version before the read.
    content_version: u64,
    socket_bytes: ReadAheadBytes,
}

impl ReadAhead {
    /// No events. `socket_bytes` is the count of the socket.
    pub fn new(socket_bytes: ReadAheadBytes) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            content_version: 0,
            socket_bytes,
        }
    }

    /// Returns `true` if the subscriptions of the socket keep as much as they may.
    pub fn is_socket_full(&self) -> bool {
        self.socket_bytes.0.load(Ordering::Relaxed) >= MAX_READ_AHEAD_BYTES
    }

    /// Returns `true` if there are no events.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<EncodedEvent>> {
        self.events.iter()
    }

    /// Replaces the events. `content_version` is the room's version before the read.
    pub fn replace(&mut self, events: Vec<Arc<EncodedEvent>>, content_version: u64) {
        self.events = events.into();
        self.content_version = content_version;
        self.update_bytes();
    }

    /// Drops the events up to a seq.
    pub fn drop_through(&mut self, seq: i64) {
        if self.events.is_empty() {
            return;
        }
        while self.events.pop_front_if(|event| event.seq <= seq).is_some() {}
        if self.events.is_empty() {
            // Frees the memory of the queue itself.
            self.events = VecDeque::new();
        }
        self.update_bytes();
    }

    /// Drops all events if their texts are older than this version of the room's content.
    pub fn drop_outdated(&mut self, content_version: u64) {
        if self.content_version != content_version {
            self.clear();
        }
    }

    /// Drops all events.
    pub fn clear(&mut self) {
        self.events = VecDeque::new();
        self.update_bytes();
    }

    fn update_bytes(&mut self) {
        let bytes = self.events.iter().map(|event| event.size()).sum();
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.socket_bytes.0.fetch_add(bytes, Ordering::Relaxed);
        self.socket_bytes.0.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.socket_bytes.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
