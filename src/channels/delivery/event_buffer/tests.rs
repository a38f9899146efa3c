//! The buffer has the last events in order, and never a deleted text.

use std::sync::Arc;

use super::{
    super::{
        buffer_memory::{BufferMemory, BufferShare},
        test_events::{deletion, message, seqs},
    },
    EventBuffer, NextEvents,
};

const LIMIT: usize = 1024 * 1024;

fn buffer_after(head: i64) -> (EventBuffer, Arc<BufferMemory>) {
    let memory = Arc::new(BufferMemory::new(LIMIT));
    let share = BufferShare::new(memory.clone());
    (EventBuffer::starting_after(head, share), memory)
}

/// The seqs of the next events; `None` where they are in the log.
fn next_seqs(buffer: &EventBuffer, seq: i64) -> Option<Vec<i64>> {
    match buffer.next_events(seq) {
        NextEvents::None => Some(Vec::new()),
        NextEvents::Events(events) => Some(seqs(&events)),
        NextEvents::InLog => None,
    }
}

#[test]
fn events_after_a_position_come_from_the_buffer_or_the_log() {
    let (mut buffer, _) = buffer_after(10);
    for seq in 11..=13 {
        assert_eq!(seqs(&buffer.receive(message(seq))), [seq]);
    }
    assert_eq!(next_seqs(&buffer, 13), Some(vec![]));
    assert_eq!(next_seqs(&buffer, 11), Some(vec![12, 13]));
    assert_eq!(next_seqs(&buffer, 10), Some(vec![11, 12, 13]));
    assert_eq!(next_seqs(&buffer, 9), None);
    assert!(buffer.needs_log_after(9) && !buffer.needs_log_after(10));
}

#[test]
fn a_batch_is_limited_and_the_oldest_events_are_dropped() {
    let (mut buffer, _) = buffer_after(0);
    for seq in 1..=300 {
        buffer.receive(message(seq));
    }
    assert_eq!(next_seqs(&buffer, 43), None, "256 events are kept");
    let batch = next_seqs(&buffer, 44).unwrap_or_default();
    assert_eq!(batch, (45..45 + 64).collect::<Vec<_>>());
}

#[test]
fn a_deletion_empties_the_buffer_and_rejects_older_reads() {
    let (mut buffer, _) = buffer_after(0);
    buffer.receive(message(1));
    buffer.receive(message(2));
    let version = buffer.content_version();
    buffer.receive(deletion(3, 1));
    assert_eq!(next_seqs(&buffer, 0), None);
    assert_eq!(next_seqs(&buffer, 2), Some(vec![3]));
    // Read before the deletion: with the deleted text.
    let old = [1, 2].map(|seq| Arc::new(message(seq)));
    buffer.cache_older(&old, version);
    assert_eq!(next_seqs(&buffer, 0), None);
    buffer.cache_older(&old, buffer.content_version());
    assert_eq!(next_seqs(&buffer, 0), Some(vec![1, 2, 3]));
}

#[test]
fn only_events_that_end_where_the_buffer_begins_are_cached() {
    let (mut buffer, _) = buffer_after(5);
    buffer.receive(message(6));
    let with_gap = [2, 3].map(|seq| Arc::new(message(seq)));
    buffer.cache_older(&with_gap, 0);
    assert_eq!(next_seqs(&buffer, 1), None);
    let adjacent = [4, 5, 6].map(|seq| Arc::new(message(seq)));
    buffer.cache_older(&adjacent, 0);
    assert_eq!(next_seqs(&buffer, 3), Some(vec![4, 5, 6]));
}

#[test]
fn the_unread_count_follows_messages_and_deletions() {
    let (mut buffer, _) = buffer_after(10);
    for seq in [11, 12] {
        buffer.receive(message(seq));
    }
    assert_eq!(buffer.read_state("bob", 10, (8, 2)), (12, 8, 4));
    assert_eq!(buffer.read_state("bob", 12, (12, 0)), (12, 12, 0));
    assert_eq!(buffer.read_state("ann", 10, (8, 2)), (12, 12, 0));
    buffer.receive(deletion(13, 11));
    // The deletion has emptied the buffer: the messages before it are not counted, so nothing is.
    assert_eq!(buffer.read_state("bob", 10, (8, 2)), (10, 8, 2));
    assert_eq!(buffer.read_state("bob", 12, (8, 4)), (13, 8, 3));
    assert_eq!(buffer.read_state("bob", 12, (12, 0)), (13, 12, 0));
}

#[test]
fn the_memory_is_released_with_the_events() {
    let (mut buffer, memory) = buffer_after(0);
    buffer.receive(message(1));
    assert!(memory.used() > 0);
    buffer.evict();
    assert_eq!(memory.used(), 0);
    buffer.receive(message(2));
    drop(buffer);
    assert_eq!(memory.used(), 0);
}
