//! Telling a room's listeners what has come, beside whoever brought it: the next change is stored
//! meanwhile, and what comes while they are being told is told with it, in one write.
//!
//! A large room is gone through in rounds, as a lift goes through a house: what comes meanwhile gets on
//! where the round is, and off after a whole one. Nothing waits for the next round to begin, and each
//! listener is told all that has come since its last turn.

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
    settings::Settings,
};

/// Events that are written to a socket without a turn of its task, at most, and bytes of them.
const MAX_DIRECT_EVENTS: usize = 64;
const MAX_DIRECT_BYTES: usize = 64 * 1024;

/// Listeners that are told before others get the thread.
const MAX_CONSECUTIVE_WRITES: usize = 128;

/// What is to be told, and whether somebody does.
#[derive(Default)]
pub(super) struct BroadcastQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    /// In order, and no more than is written at once.
    events: Vec<Arc<EncodedEvent>>,
    /// Whether there is more than that: all of it is in the tail.
    has_overflowed: bool,
    is_running: bool,
}

/// What is to be told now.
enum BroadcastStep {
    WriteDirect(BroadcastBatch),
    /// It is for the tasks, each of which reads the tail at its own pace.
    NotifyAll,
}

/// Events that follow one another.
#[derive(Default)]
struct BroadcastBatch {
    events: VecDeque<Arc<EncodedEvent>>,
    bytes: usize,
    frame_cache: FrameCache,
}

/// How they go over the wire to whom the first of them are told already, by the number of the next.
#[derive(Default)]
struct FrameCache {
    rich: Vec<(i64, Bytes)>,
    /// `None` where base sockets are not all told the same.
    basic: Vec<(i64, Option<Bytes>)>,
}

impl BroadcastQueue {
    /// Takes what has come, in order; the caller sees to the order. Says whether somebody must begin to
    /// tell it.
    pub fn push(&self, news: Vec<Arc<EncodedEvent>>) -> bool {
        if news.is_empty() {
            return false;
        }
        let mut waiting = self.state();
        if waiting.has_overflowed || waiting.events.len() + news.len() > MAX_DIRECT_EVENTS {
            waiting.has_overflowed = true;
            waiting.events.clear();
        } else {
            waiting.events.extend(news);
        }
        !replace(&mut waiting.is_running, true)
    }

    /// What has come since. Where there is nothing, nobody tells any more.
    fn next_step(&self) -> Option<BroadcastStep> {
        let mut waiting = self.state();
        let (news, is_more) = (take(&mut waiting.events), take(&mut waiting.has_overflowed));
        waiting.is_running = is_more || !news.is_empty();
        drop(waiting);
        if !is_more && news.is_empty() {
            return None;
        }
        let mut batch = BroadcastBatch::default();
        let fits = !is_more && batch.can_append(&news);
        Some(if fits {
            batch.extend(news);
            BroadcastStep::WriteDirect(batch)
        } else {
            BroadcastStep::NotifyAll
        })
    }

    /// Puts what has come since to a batch that is being told, if it can be told with it.
    fn append_waiting(&self, batch: &mut BroadcastBatch) {
        let mut waiting = self.state();
        if !waiting.has_overflowed && batch.can_append(&waiting.events) {
            batch.extend(take(&mut waiting.events));
        }
    }

    // A panic elsewhere leaves it as it was between two calls.
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where telling fails, the tasks do it.
struct PanicGuard<'a>(&'a Room);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.0.broadcast_queue.state().is_running = false;
            self.0
                .subscribers_snapshot()
                .iter()
                .for_each(|it| it.notify());
        }
    }
}

impl Room {
    /// Tells all that has come, and what comes meanwhile.
    pub(super) async fn run_broadcast(self: Arc<Self>) {
        let _unless_it_fails = PanicGuard(&self);
        while let Some(turn) = self.broadcast_queue.next_step() {
            match turn {
                BroadcastStep::WriteDirect(batch) => self.write_batch(batch).await,
                BroadcastStep::NotifyAll => self.notify_all().await,
            }
        }
    }

    async fn write_batch(&self, mut batch: BroadcastBatch) {
        while let Some(last) = batch.last_seq() {
            // Who comes in now finds it in the tail.
            for listeners in self.subscribers_snapshot().chunks(MAX_CONSECUTIVE_WRITES) {
                for listener in listeners {
                    if !batch.write_direct_to(listener, &self.settings) {
                        listener.notify();
                    }
                }
                yield_now().await;
                self.broadcast_queue.append_waiting(&mut batch);
            }
            batch.drop_through(last);
        }
    }

    async fn notify_all(&self) {
        for listeners in self.subscribers_snapshot().chunks(MAX_CONSECUTIVE_WRITES) {
            listeners.iter().for_each(|listener| listener.notify());
            yield_now().await;
        }
    }
}

impl BroadcastBatch {
    /// The number of the last event; `None` where there is none.
    fn last_seq(&self) -> Option<i64> {
        Some(self.events.back()?.seq)
    }

    /// Whether events may be told with these, or alone where there are none. What takes something back,
    /// or somebody out, or leaves something out, or is large wants care: that is for the tasks.
    fn can_append(&self, news: &[Arc<EncodedEvent>]) -> bool {
        let mut last = self.last_seq();
        let mut bytes = self.bytes;
        news.iter().all(|told| {
            bytes += told.size();
            let is_next = last
                .replace(told.seq)
                .is_none_or(|last| last + 1 == told.seq);
            is_next
                && !matches!(
                    told.effect,
                    EventEffect::DeletesMessage(_) | EventEffect::RemovesMember(_)
                )
        }) && bytes <= MAX_DIRECT_BYTES
            && self.events.len() + news.len() <= MAX_DIRECT_EVENTS
    }

    fn extend(&mut self, news: Vec<Arc<EncodedEvent>>) {
        if !news.is_empty() {
            self.bytes += news.iter().map(|told| told.size()).sum::<usize>();
            self.events.extend(news);
            self.frame_cache = FrameCache::default();
        }
    }

    /// Takes off what all were told.
    fn drop_through(&mut self, last: i64) {
        while let Some(told) = self.events.pop_front_if(|told| told.seq <= last) {
            self.bytes -= told.size();
        }
    }

    /// Says whether a listener is told all of it.
    fn write_direct_to(&mut self, listener: &Subscriber, settings: &Settings) -> bool {
        self.last_seq().is_none_or(|last| {
            let scope = listener.socket.scope;
            listener.write_direct(last, |told| self.encode_after(told, scope, settings))
        })
    }

    /// All that comes after an event. `None` if that is not all here, or not the same for all.
    fn encode_after(
        &mut self,
        told: i64,
        scope: SocketScope,
        settings: &Settings,
    ) -> Option<Bytes> {
        let next = told + 1;
        let told_already = usize::try_from(next - self.events.front()?.seq).ok()?;
        let news = self.events.iter().skip(told_already);
        if scope == SocketScope::EventsOnly {
            get_or_encode(&mut self.frame_cache.basic, next, || {
                encode_basic_frames(news, settings)
            })
        } else {
            let frames = get_or_encode(&mut self.frame_cache.rich, next, || {
                encode_text_frames(news.map(|told| told.frame()))
            });
            Some(frames)
        }
    }
}

/// Those who stand side by side were mostly told as much as each other.
fn get_or_encode<T: Clone>(kept: &mut Vec<(i64, T)>, next: i64, make: impl FnOnce() -> T) -> T {
    if let Some((_, frames)) = kept.iter().rev().find(|(of, _)| *of == next) {
        return frames.clone();
    }
    let frames = make();
    kept.push((next, frames.clone()));
    frames
}

fn encode_basic_frames<'a>(
    news: impl Iterator<Item = &'a Arc<EncodedEvent>>,
    settings: &Settings,
) -> Option<Bytes> {
    let messages = news.filter(|told| told.effect == EventEffect::CreatesMessage);
    let frames = messages.map(|told| {
        let by = told.actor.as_deref()?;
        told.basic_frame(by, || settings.time_of_day())
    });
    Some(encode_text_frames(frames.collect::<Option<Vec<_>>>()?))
}
