//! Events that a socket has read from the log and not sent yet.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::channels::protocol::event::EncodedEvent;

/// Bytes that all groups of one socket may keep together. Beyond them each group reads only the events that
/// are sent next.
const MAX_READ_AHEAD_BYTES: usize = 1024 * 1024;

/// The bytes that the groups of one socket have read ahead. Clones share them.
#[derive(Clone, Default)]
pub struct ReadAheadBytes(Arc<AtomicUsize>);

/// The events of one group.
pub struct ReadAhead {
    events: VecDeque<Arc<EncodedEvent>>,
    bytes: usize,
    socket_bytes: ReadAheadBytes,
}

impl ReadAhead {
    pub fn new(socket_bytes: ReadAheadBytes) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            socket_bytes,
        }
    }

    /// Returns whether the groups of the socket keep as much as they may.
    pub fn is_socket_full(&self) -> bool {
        self.socket_bytes.0.load(Ordering::Relaxed) >= MAX_READ_AHEAD_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<EncodedEvent>> {
        self.events.iter()
    }

    /// Keeps these events in place of all others.
    pub fn replace(&mut self, events: Vec<Arc<EncodedEvent>>) {
        self.events = events.into();
        self.update_bytes();
    }

    /// Drops the events up to a number.
    pub fn drop_through(&mut self, seq: i64) {
        while self.events.pop_front_if(|told| told.seq <= seq).is_some() {}
        if self.events.is_empty() {
            // The memory of the queue itself, too.
            self.events = VecDeque::new();
        }
        self.update_bytes();
    }

    pub fn clear(&mut self) {
        self.replace(Vec::new());
    }

    fn update_bytes(&mut self) {
        let bytes = self.events.iter().map(|told| told.size()).sum();
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
