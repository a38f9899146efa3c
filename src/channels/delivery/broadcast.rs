//! The broadcast of new events to the subscribers of a room, in a task of its own.
//!
//! The writer stores the next commands while this task writes to the sockets. Events that arrive during a write are
//! written together.
//!
//! A large room is written in rounds over its subscribers. Events that arrive during a round join the batch at the
//! current subscriber, and leave it after one whole round. So no event waits for the begin of the next round, and
//! each subscriber receives all events since its last turn in one write.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem::{replace, take},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::panicking,
};

use axum::body::Bytes;
use tokio::task::yield_now;

use super::{room::Room, socket_handle::SocketScope, subscriber::Subscriber};
use crate::{
    channels::{
        protocol::event::{EncodedEvent, EventEffect},
        text_frame::encode_text_frames,
    },
    metrics::{METRICS, WritePath},
    settings::Settings,
};

/// Events that a direct write contains, at most, and their bytes.
const MAX_DIRECT_EVENTS: usize = 64;
const MAX_DIRECT_BYTES: usize = 64 * 1024;

/// Subscribers that are written before other tasks get the thread.
const MAX_CONSECUTIVE_WRITES: usize = 128;

/// Subscribers that are written before the metrics read the clock.
const WRITES_PER_OBSERVATION: usize = 16;

/// The events of a room that wait for a broadcast.
#[derive(Default)]
pub(super) struct BroadcastQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    /// The events in order, at most as many as one direct write contains.
    events: Vec<Arc<EncodedEvent>>,
    /// `true` if more events arrived. The event buffer has all of them.
    has_overflowed: bool,
    /// `true` if a task broadcasts the queue.
    is_running: bool,
}

/// The next step of a broadcast.
enum BroadcastStep {
    WriteDirect(BroadcastBatch),
    /// Each socket's task reads the event buffer at its own pace.
    NotifyAll,
}

/// Events with consecutive numbers that are written together.
#[derive(Default)]
struct BroadcastBatch {
    events: VecDeque<BatchEvent>,
    bytes: usize,
    frame_cache: FrameCache,
}

/// An event of a batch.
struct BatchEvent {
    event: Arc<EncodedEvent>,
    /// The number of sockets that received the event since the last observation.
    unobserved_writes: u64,
}

/// The encoded frames of a batch, by the seq of the first event that a subscriber lacks.
#[derive(Default)]
struct FrameCache {
    rich: Vec<(i64, Bytes)>,
    /// `None` where base sockets do not all receive the same frames.
    base: Vec<(i64, Option<Bytes>)>,
}

impl BroadcastQueue {
    /// Adds events in order. Returns `true` if the caller must start [`run_broadcast`].
    pub fn push(&self, events: Vec<Arc<EncodedEvent>>) -> bool {
        if events.is_empty() {
            return false;
        }
        let mut state = self.state();
        if state.has_overflowed || state.events.len() + events.len() > MAX_DIRECT_EVENTS {
            state.has_overflowed = true;
            state.events.clear();
        } else {
            state.events.extend(events);
        }
        !replace(&mut state.is_running, true)
    }

    /// Takes all events that wait. Returns `None`, and counts as not running, if there are none.
    fn next_step(&self) -> Option<BroadcastStep> {
        let mut state = self.state();
        let (events, has_overflowed) = (take(&mut state.events), take(&mut state.has_overflowed));
        state.is_running = has_overflowed || !events.is_empty();
        if !state.is_running {
            return None;
        }
        drop(state);
        let mut batch = BroadcastBatch::default();
        let is_direct = !has_overflowed && batch.can_append(&events);
        Some(if is_direct {
            batch.extend(events);
            BroadcastStep::WriteDirect(batch)
        } else {
            BroadcastStep::NotifyAll
        })
    }

    /// Moves the events that wait into a batch that is being written, if they fit.
    fn append_waiting(&self, batch: &mut BroadcastBatch) {
        let mut state = self.state();
        if !state.has_overflowed && batch.can_append(&state.events) {
            batch.extend(take(&mut state.events));
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        // A panic elsewhere leaves the queue as it was between two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the tasks of all sockets if the broadcast panics, so that they read the events themselves.
struct PanicGuard<'a>(&'a Room);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.0.broadcast_queue.state().is_running = false;
            self.0
                .subscribers_snapshot()
                .iter()
                .for_each(|subscriber| subscriber.notify());
        }
    }
}

/// Broadcasts all events that wait, and the events that arrive during the broadcast.
pub(super) async fn run_broadcast(room: Arc<Room>) {
    let _panic_guard = PanicGuard(&room);
    while let Some(step) = room.broadcast_queue.next_step() {
        match step {
            BroadcastStep::WriteDirect(batch) => write_batch(&room, batch).await,
            BroadcastStep::NotifyAll => notify_all(&room).await,
        }
    }
}

async fn write_batch(room: &Room, mut batch: BroadcastBatch) {
    while let Some(last) = batch.last_seq() {
        // A socket that subscribes from now on finds the events in the event buffer.
        for subscribers in room.subscribers_snapshot().chunks(MAX_CONSECUTIVE_WRITES) {
            for subscribers in subscribers.chunks(WRITES_PER_OBSERVATION) {
                for subscriber in subscribers {
                    if !batch.write_direct_to(subscriber, &room.settings) {
                        subscriber.notify();
                    }
                }
                batch.observe_writes();
            }
            yield_now().await;
            room.broadcast_queue.append_waiting(&mut batch);
        }
        batch.drop_through(last);
    }
}

async fn notify_all(room: &Room) {
    for subscribers in room.subscribers_snapshot().chunks(MAX_CONSECUTIVE_WRITES) {
        subscribers
            .iter()
            .for_each(|subscriber| subscriber.notify());
        yield_now().await;
    }
}

impl BroadcastBatch {
    /// The seq of the last event; `None` in an empty batch.
    fn last_seq(&self) -> Option<i64> {
        Some(self.events.back()?.event.seq)
    }

    /// Returns `true` if events may be written together with this batch. Deletions, removals, gaps and large
    /// batches need the care of the sockets' own tasks.
    fn can_append(&self, events: &[Arc<EncodedEvent>]) -> bool {
        let mut last = self.last_seq();
        let mut bytes = self.bytes;
        events.iter().all(|event| {
            bytes += event.size();
            let is_next = last
                .replace(event.seq)
                .is_none_or(|last| last + 1 == event.seq);
            is_next
                && !matches!(
                    event.effect,
                    EventEffect::DeletesMessage(_) | EventEffect::RemovesMember(_)
                )
        }) && bytes <= MAX_DIRECT_BYTES
            && self.events.len() + events.len() <= MAX_DIRECT_EVENTS
    }

    fn extend(&mut self, events: Vec<Arc<EncodedEvent>>) {
        if !events.is_empty() {
            self.bytes += events.iter().map(|event| event.size()).sum::<usize>();
            self.events
                .extend(events.into_iter().map(|event| BatchEvent {
                    event,
                    unobserved_writes: 0,
                }));
            self.frame_cache = FrameCache::default();
        }
    }

    /// Drops the events that all subscribers have received.
    fn drop_through(&mut self, last: i64) {
        while let Some(passed) = self.events.pop_front_if(|it| it.event.seq <= last) {
            self.bytes -= passed.event.size();
        }
    }

    /// Returns `true` if the socket has all events of the batch.
    fn write_direct_to(&mut self, subscriber: &Subscriber, settings: &Settings) -> bool {
        self.last_seq().is_none_or(|last| {
            let scope = subscriber.socket.scope;
            let mut first_seq = None;
            let has_all = subscriber.write_direct(last, |seq| {
                first_seq = Some(seq + 1);
                self.encode_after(seq, scope, settings)
            });
            if has_all && let Some(first_seq) = first_seq {
                self.count_writes(first_seq, scope);
            }
            has_all
        })
    }

    /// Counts that a socket has received the events from a seq on.
    fn count_writes(&mut self, first_seq: i64, scope: SocketScope) {
        for written in self.events.iter_mut().rev() {
            if written.event.seq < first_seq {
                break;
            }
            if scope.receives_frame_of(&written.event.effect) {
                written.unobserved_writes += 1;
            }
        }
    }

    /// Observes the delays of the writes since the last observation.
    fn observe_writes(&mut self) {
        let writes = self.events.iter_mut().filter_map(|written| {
            let count = take(&mut written.unobserved_writes);
            let event = &written.event;
            (count > 0).then_some((event.origin, event.committed_at, count))
        });
        METRICS
            .delivery_seconds
            .observe_writes(WritePath::Direct, writes);
    }

    /// Returns the frames of the events after a seq. `None` if the batch lacks some of the events, or not all
    /// sockets receive the same frames.
    fn encode_after(&mut self, seq: i64, scope: SocketScope, settings: &Settings) -> Option<Bytes> {
        let next = seq + 1;
        let skipped = usize::try_from(next - self.events.front()?.event.seq).ok()?;
        let events = self.events.iter().skip(skipped).map(|it| &it.event);
        if scope == SocketScope::EventsOnly {
            get_or_encode(&mut self.frame_cache.base, next, || {
                encode_base_frames(events, settings)
            })
        } else {
            let frames = get_or_encode(&mut self.frame_cache.rich, next, || {
                encode_text_frames(events.map(|event| event.frame()))
            });
            Some(frames)
        }
    }
}

/// Returns the cached frames, or encodes them. Neighbours among the subscribers mostly lack the same events.
fn get_or_encode<T: Clone>(cache: &mut Vec<(i64, T)>, next: i64, encode: impl FnOnce() -> T) -> T {
    if let Some((_, frames)) = cache.iter().rev().find(|(seq, _)| *seq == next) {
        return frames.clone();
    }
    let frames = encode();
    cache.push((next, frames.clone()));
    frames
}

fn encode_base_frames<'a>(
    events: impl Iterator<Item = &'a Arc<EncodedEvent>>,
    settings: &Settings,
) -> Option<Bytes> {
    let messages = events.filter(|event| event.effect == EventEffect::CreatesMessage);
    let frames = messages.map(|event| {
        let actor = event.actor.as_deref()?;
        event.base_frame(actor, || settings.time_of_day())
    });
    Some(encode_text_frames(frames.collect::<Option<Vec<_>>>()?))
}
