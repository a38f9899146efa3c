//! The map from topics to servers.
//!
//! A cluster divides the names of all topics into 16384 slots. Each slot belongs to one node.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, PoisonError, RwLock},
};

use super::session::RedisConfig;

const SLOT_COUNT: u16 = 16_384;

/// A server that carries topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum RedisServer {
    /// The server of the settings, or the master that the sentinels name.
    Single,
    /// A node of a cluster.
    Node { host: Arc<str>, port: u16 },
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single => f.write_str("the server"),
            Self::Node { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A range of slots that one server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotRange {
    pub slots: RangeInclusive<u16>,
    pub server: RedisServer,
}

/// The current ranges of all servers.
pub(super) struct SlotMap {
    config: Arc<RedisConfig>,
    /// Empty until the discovery task has queried a server.
    ranges: RwLock<Vec<SlotRange>>,
}

impl SlotMap {
    /// Creates a map without ranges.
    pub fn new(config: Arc<RedisConfig>) -> Self {
        let ranges = RwLock::default();
        Self { config, ranges }
    }

    /// Returns the ranges of a single server, which has all slots.
    pub fn single_server_ranges() -> Vec<SlotRange> {
        vec![SlotRange {
            slots: 0..=SLOT_COUNT - 1,
            server: RedisServer::Single,
        }]
    }

    /// Replaces all ranges. Returns `true` if they differ from the old ranges.
    pub fn replace(&self, ranges: Vec<SlotRange>) -> bool {
        let mut current = self.ranges.write().unwrap_or_else(PoisonError::into_inner);
        let differs = *current != ranges;
        *current = ranges;
        differs
    }

    /// Returns the server of a topic, or `None` if no server has its slot.
    pub fn server_for(&self, topic: &str) -> Option<RedisServer> {
        let ranges = self.ranges.read().unwrap_or_else(PoisonError::into_inner);
        let range = match ranges.as_slice() {
            [range] if range.server == RedisServer::Single => range,
            ranges => {
                let slot = slot_of(self.config.channel_name(topic).as_bytes());
                ranges.iter().find(|range| range.slots.contains(&slot))?
            }
        };
        Some(range.server.clone())
    }
}

/// Returns `true` if each slot has a server.
pub(super) fn is_complete(ranges: &[SlotRange]) -> bool {
    covered_slots(ranges) == usize::from(SLOT_COUNT)
}

/// Returns the number of slots that have a server.
pub(super) fn covered_slots(ranges: &[SlotRange]) -> usize {
    ranges.iter().map(|range| range.slots.len()).sum()
}

/// Returns the slot of a channel by the Redis Cluster Specification. Only the text of the first
/// `{…}`, the hash tag, counts if there is one.
fn slot_of(channel: &[u8]) -> u16 {
    let tag = channel.iter().position(|byte| *byte == b'{');
    let tag = tag.and_then(|open| channel.get(open + 1..));
    let tag = tag.and_then(|rest| {
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close)
    });
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(channel)) % SLOT_COUNT
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}
