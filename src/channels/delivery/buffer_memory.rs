//! The memory of all event buffers of this node.
//!
//! Each active group keeps its last events for sockets that are a little behind. The buffer of one group has its own
//! limit, and this module limits the sum. When the sum exceeds the limit, the groups without a recent event lose
//! their buffers ([`super::Rooms::run_buffer_eviction`]), and their sockets read the log instead.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The bytes that an event takes in addition to its text.
const EVENT_OVERHEAD: usize = 256;

/// The share of the limit that an eviction leaves free, so that the next eviction is not due at once.
const EVICTION_HEADROOM_DIVISOR: usize = 10;

/// The count of the bytes that all event buffers take.
pub(super) struct BufferMemory {
    used: AtomicUsize,
    limit: usize,
    limit_exceeded: Notify,
}

impl BufferMemory {
    /// An empty count. `limit` is in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
            limit_exceeded: Notify::new(),
        }
    }

    /// Bytes that all buffers take now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Waits until the buffers take more than the limit.
    pub async fn wait_until_exceeded(&self) {
        loop {
            self.limit_exceeded.notified().await;
            if self.used() > self.limit {
                return;
            }
        }
    }

    /// Returns `true` if an eviction has freed enough memory.
    pub fn has_headroom(&self) -> bool {
        self.used() <= self.limit - self.limit / EVICTION_HEADROOM_DIVISOR
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

/// The share of one buffer. Dropping the share releases its bytes.
pub(super) struct BufferShare {
    memory: Arc<BufferMemory>,
    /// Bytes of the events themselves.
    bytes: usize,
    events: usize,
}

impl BufferShare {
    /// An empty share.
    pub fn new(memory: Arc<BufferMemory>) -> Self {
        Self {
            memory,
            bytes: 0,
            events: 0,
        }
    }

    /// Bytes of the events in the buffer.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event of this size.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.events += 1;
        self.memory.reserve(bytes + EVENT_OVERHEAD);
    }

    /// Removes an event of this size.
    pub fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.events -= 1;
        self.memory.release(bytes + EVENT_OVERHEAD);
    }

    /// Removes all events.
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
