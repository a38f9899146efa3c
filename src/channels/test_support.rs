//! Counts of the things that a node keeps in memory, for tests.

use super::Channels;

/// The counts of the things that a node keeps in memory for its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Groups with sockets on this node, or with a user who may reconnect.
    pub active_groups: usize,
    /// Subscriptions of all sockets.
    pub subscribers: usize,
    /// Bytes that the event buffers of all groups take.
    pub buffered_bytes: usize,
}

impl Channels {
    /// Counts for tests. The server itself does not call this.
    #[must_use]
    pub fn counts_for_tests(&self) -> ChannelCounts {
        let rooms = self.hub.delivery.rooms();
        ChannelCounts {
            active_groups: rooms.len(),
            subscribers: rooms.all().iter().map(|room| room.subscriber_count()).sum(),
            buffered_bytes: rooms.buffered_bytes(),
        }
    }
}
