//! Encoded events for unit tests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::channels::protocol::event::EncodedEvent;

/// The event of ann with this seq, kind and data.
pub(super) fn event(seq: i64, kind: &str, data: &Value) -> EncodedEvent {
    let frame = json!({
        "type": "event", "group": "chat_a1b2c3d4", "seq": seq, "at": "2026-01-01T00:00:00.000Z",
        "by": "ann", "kind": kind, "cid": null, "data": data,
    });
    let payload = frame.to_string().into();
    let events = EncodedEvent::decode_batch(&payload);
    events
        .and_then(|mut events| events.pop())
        .expect("one event")
}

/// The message of ann with this seq.
pub(super) fn message(seq: i64) -> EncodedEvent {
    event(
        seq,
        "message.created",
        &json!({"text": "hi", "reply_to": null}),
    )
}

/// The deletion of a message.
pub(super) fn deletion(seq: i64, of: i64) -> EncodedEvent {
    event(seq, "message.deleted", &json!({"seq": of}))
}

/// The removal of a member.
pub(super) fn removal(seq: i64, user: &str) -> EncodedEvent {
    event(
        seq,
        "member.left",
        &json!({"user": user, "reason": "kicked"}),
    )
}

/// The seqs of events.
pub(super) fn seqs<'a>(events: impl IntoIterator<Item = &'a Arc<EncodedEvent>>) -> Vec<i64> {
    events.into_iter().map(|event| event.seq).collect()
}
