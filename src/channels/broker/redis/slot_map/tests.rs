//! Slots follow the Redis Cluster Specification, and a map is complete when each slot has a server.

use std::sync::Arc;

use super::{
    RedisServer, SLOT_COUNT, SlotMap, SlotRange, covered_slots, crc16, is_complete, slot_of,
};

#[test]
fn crc16_has_the_check_value_of_xmodem() {
    assert_eq!(crc16(b"123456789"), 0x31C3);
    assert_eq!(crc16(b""), 0);
}

/// The expected slots are those of `CLUSTER KEYSLOT`.
#[test]
fn slots_are_those_of_a_redis_cluster() {
    for (channel, slot) in [
        ("", 0),
        ("foo", 12_182),
        ("bar", 5061),
        ("123456789", 12_739),
        ("salam:chat_00000000", 14_894),
    ] {
        assert_eq!(slot_of(channel.as_bytes()), slot, "{channel}");
    }
}

#[test]
fn only_the_first_hash_tag_counts() {
    for (channel, tag) in [
        ("{user1000}.following", "user1000"),
        ("{user1000}.followers", "user1000"),
        ("foo{bar}{zap}", "bar"),
        ("foo{{bar}}zap", "{bar"),
        // An empty tag, and an open tag, do not count.
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{bar", "foo{bar"),
        ("foo}bar{", "foo}bar{"),
    ] {
        let expected = crc16(tag.as_bytes()) % SLOT_COUNT;
        assert_eq!(slot_of(channel.as_bytes()), expected, "{channel}");
    }
}

#[test]
fn a_map_is_complete_when_each_slot_has_a_server() {
    let node = |port| RedisServer::Node {
        host: Arc::from("127.0.0.1"),
        port,
    };
    let range = |slots, port| SlotRange {
        slots,
        server: node(port),
    };
    assert!(is_complete(&SlotMap::single_server_ranges()));
    assert!(!is_complete(&[]));
    let ranges = [range(0..=5460, 1), range(5461..=16_383, 2)];
    assert!(is_complete(&ranges));
    let ranges = [range(0..=5460, 1), range(5462..=16_383, 2)];
    assert!(!is_complete(&ranges));
    assert_eq!(covered_slots(&ranges), usize::from(SLOT_COUNT) - 1);
}
