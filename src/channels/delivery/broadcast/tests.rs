//! The broadcast queue decides which events are written directly, and starts one task.

use std::sync::Arc;

use serde_json::json;

use super::{
    super::test_events::{deletion, event, message, removal, seqs},
    BroadcastBatch, BroadcastQueue, BroadcastStep, MAX_DIRECT_EVENTS,
};
use crate::channels::protocol::event::EncodedEvent;

fn arcs(events: impl IntoIterator<Item = EncodedEvent>) -> Vec<Arc<EncodedEvent>> {
    events.into_iter().map(Arc::new).collect()
}

fn direct_batch(queue: &BroadcastQueue) -> Option<BroadcastBatch> {
    match queue.next_step() {
        Some(BroadcastStep::WriteDirect(batch)) => Some(batch),
        _ => None,
    }
}

#[test]
fn the_first_push_starts_the_task_and_an_empty_queue_stops_it() {
    let queue = BroadcastQueue::default();
    assert!(!queue.push(Vec::new()));
    assert!(queue.push(arcs([message(1)])));
    assert!(!queue.push(arcs([message(2)])), "the task runs");
    let batch = direct_batch(&queue).map(|batch| seqs(batch.events.iter().map(|it| &it.event)));
    assert_eq!(batch, Some(vec![1, 2]));
    assert!(queue.next_step().is_none());
    assert!(queue.push(arcs([message(3)])), "the task has stopped");
}

#[test]
fn deletions_removals_and_large_batches_are_left_to_the_sockets() {
    let removed = removal(1, "bob");
    let large = event(1, "message.created", &json!({"text": "x".repeat(70_000)}));
    for events in [
        arcs([deletion(2, 1)]),
        arcs([removed]),
        arcs([large]),
        arcs([message(1), message(3)]),
        arcs((1..).take(MAX_DIRECT_EVENTS + 1).map(message)),
    ] {
        let queue = BroadcastQueue::default();
        queue.push(events);
        assert!(matches!(queue.next_step(), Some(BroadcastStep::NotifyAll)));
    }
}

#[test]
fn events_that_arrive_during_a_round_join_the_batch() {
    let queue = BroadcastQueue::default();
    queue.push(arcs([message(1)]));
    let mut batch = direct_batch(&queue).unwrap_or_default();
    queue.push(arcs([message(2)]));
    queue.append_waiting(&mut batch);
    assert_eq!(seqs(batch.events.iter().map(|it| &it.event)), [1, 2]);
    batch.drop_through(1);
    assert_eq!(seqs(batch.events.iter().map(|it| &it.event)), [2]);
    queue.push(arcs([deletion(3, 1)]));
    queue.append_waiting(&mut batch);
    assert_eq!(
        seqs(batch.events.iter().map(|it| &it.event)),
        [2],
        "a deletion waits for its own step"
    );
    assert!(matches!(queue.next_step(), Some(BroadcastStep::NotifyAll)));
}
