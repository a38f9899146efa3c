//! Which server carries which topic.
//!
//! A cluster cuts the names of all topics into 16384 slots, and each slot is at one of its nodes.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, PoisonError, RwLock},
};

use super::session::Access;

const SLOTS: u16 = 16_384;

/// A server that carries topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// That of the settings, or the master that the sentinels name.
    Only,
    /// A node of a cluster.
    Node { host: Arc<str>, port: u16 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("the server"),
            Self::Node { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Slots that are at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub slots: RangeInclusive<u16>,
    pub place: Place,
}

pub(super) struct Map {
    access: Arc<Access>,
    /// Empty until a server was asked.
    ranges: RwLock<Vec<Range>>,
}

impl Map {
    pub fn new(access: Arc<Access>) -> Self {
        let ranges = RwLock::default();
        Self { access, ranges }
    }

    /// Everything is at one server.
    pub fn of_one() -> Vec<Range> {
        vec![Range {
            slots: 0..=SLOTS - 1,
            place: Place::Only,
        }]
    }

    /// Says whether anything has changed.
    pub fn set(&self, ranges: Vec<Range>) -> bool {
        let mut here = self.ranges.write().unwrap_or_else(PoisonError::into_inner);
        let differs = *here != ranges;
        *here = ranges;
        differs
    }

    /// Where a topic is, if it is anywhere.
    pub fn place_of(&self, topic: &str) -> Option<Place> {
        let ranges = self.ranges.read().unwrap_or_else(PoisonError::into_inner);
        let range = match ranges.as_slice() {
            [range] if range.place == Place::Only => range,
            ranges => {
                let slot = slot(self.access.channel(topic).as_bytes());
                ranges.iter().find(|range| range.slots.contains(&slot))?
            }
        };
        Some(range.place.clone())
    }
}

/// Whether each slot is somewhere.
pub(super) fn is_whole(ranges: &[Range]) -> bool {
    covered(ranges) == usize::from(SLOTS)
}

/// How many slots are somewhere.
pub(super) fn covered(ranges: &[Range]) -> usize {
    ranges.iter().map(|range| range.slots.len()).sum()
}

/// As the Redis Cluster Specification has it, with hash tags: what stands in the first `{…}`.
fn slot(channel: &[u8]) -> u16 {
    let tag = channel.iter().position(|byte| *byte == b'{');
    let tag = tag.and_then(|open| channel.get(open + 1..));
    let tag = tag.and_then(|rest| {
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close)
    });
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(channel)) % SLOTS
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
