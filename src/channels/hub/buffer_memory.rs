//! The memory of all event buffers of this node.
//!
//! Each active group keeps its last events for sockets that are a little behind. Those of one group are bounded
//! by themselves; this bounds the sum. When it is exceeded, the groups in which nothing happened for the longest
//! time lose their buffers: their sockets read the log instead.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{Hub, room::Room};

/// Bytes that an event takes besides its text.
const EVENT_OVERHEAD: usize = 256;

/// After an eviction this share of the limit is used at most, so that the next one is not due at once.
const EVICTION_HEADROOM_DIVISOR: usize = 10;

/// Counts what the event buffers take.
pub(super) struct BufferMemory {
    used: AtomicUsize,
    limit: usize,
    limit_exceeded: Notify,
}

impl BufferMemory {
    /// `limit` in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
            limit_exceeded: Notify::new(),
        }
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.limit {
            self.limit_exceeded.notify_one();
        }
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The share of one buffer. It ends with the buffer.
pub(super) struct BufferShare {
    memory: Arc<BufferMemory>,
    /// Bytes of the events themselves.
    bytes: usize,
    events: usize,
}

impl BufferShare {
    pub fn new(memory: Arc<BufferMemory>) -> Self {
        Self {
            memory,
            bytes: 0,
            events: 0,
        }
    }

    /// Bytes of the events that are kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.events += 1;
        self.memory.reserve(bytes + EVENT_OVERHEAD);
    }

    pub fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.events -= 1;
        self.memory.release(bytes + EVENT_OVERHEAD);
    }

    pub fn clear(&mut self) {
        self.memory
            .release(self.bytes + self.events * EVENT_OVERHEAD);
        (self.bytes, self.events) = (0, 0);
    }
}

impl Drop for BufferShare {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Hub {
    /// Empties the buffers of the groups that were quiet the longest, whenever all of them take too much.
    pub(super) async fn run_buffer_eviction(self: Arc<Self>) {
        loop {
            self.buffer_memory.limit_exceeded.notified().await;
            if self.buffer_memory.used() <= self.buffer_memory.limit {
                continue;
            }
            let rooms: Vec<Arc<Room>> = self.rooms().values().cloned().collect();
            let mut by_age: Vec<_> = rooms
                .iter()
                .map(|room| (room.last_event_at(), room))
                .collect();
            by_age.sort_by_key(|(at, _)| *at);
            let enough =
                self.buffer_memory.limit - self.buffer_memory.limit / EVICTION_HEADROOM_DIVISOR;
            let mut evicted = 0_u32;
            for (_, room) in by_age {
                if self.buffer_memory.used() <= enough {
                    break;
                }
                room.evict_buffer();
                evicted += 1;
            }
            tracing::debug!(
                evicted,
                used = self.buffer_memory.used(),
                "event buffers were evicted"
            );
        }
    }
}
