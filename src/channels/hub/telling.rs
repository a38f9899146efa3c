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

use super::{listener::Listener, peer::Scope, room::Room};
use crate::{
    channels::{
        frame::framed,
        protocol::event::{Meaning, Told},
    },
    settings::Settings,
};

/// Events that are written to a socket without a turn of its task, at most, and bytes of them.
const AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 64 * 1024;

/// Listeners that are told before others get the thread.
const IN_A_ROW: usize = 128;

/// What is to be told, and whether somebody does.
#[derive(Default)]
pub(super) struct Telling(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// In order, and no more than is written at once.
    news: Vec<Arc<Told>>,
    /// Whether there is more than that: all of it is in the tail.
    is_more: bool,
    is_under_way: bool,
}

/// What is to be told now.
enum Turn {
    Write(Batch),
    /// It is for the tasks, each of which reads the tail at its own pace.
    Ring,
}

/// Events that follow one another.
#[derive(Default)]
struct Batch {
    news: VecDeque<Arc<Told>>,
    bytes: usize,
    frames: Frames,
}

/// How they go over the wire to whom the first of them are told already, by the number of the next.
#[derive(Default)]
struct Frames {
    rich: Vec<(i64, Bytes)>,
    /// `None` where base sockets are not all told the same.
    base: Vec<(i64, Option<Bytes>)>,
}

impl Telling {
    /// Takes what has come, in order; the caller sees to the order. Says whether somebody must begin to
    /// tell it.
    pub fn add(&self, news: Vec<Arc<Told>>) -> bool {
        if news.is_empty() {
            return false;
        }
        let mut waiting = self.waiting();
        if waiting.is_more || waiting.news.len() + news.len() > AT_ONCE {
            waiting.is_more = true;
            waiting.news.clear();
        } else {
            waiting.news.extend(news);
        }
        !replace(&mut waiting.is_under_way, true)
    }

    /// What has come since. Where there is nothing, nobody tells any more.
    fn next(&self) -> Option<Turn> {
        let mut waiting = self.waiting();
        let (news, is_more) = (take(&mut waiting.news), take(&mut waiting.is_more));
        waiting.is_under_way = is_more || !news.is_empty();
        drop(waiting);
        if !is_more && news.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        let fits = !is_more && batch.is_followed_by(&news);
        Some(if fits {
            batch.extend(news);
            Turn::Write(batch)
        } else {
            Turn::Ring
        })
    }

    /// Puts what has come since to a batch that is being told, if it can be told with it.
    fn join(&self, batch: &mut Batch) {
        let mut waiting = self.waiting();
        if !waiting.is_more && batch.is_followed_by(&waiting.news) {
            batch.extend(take(&mut waiting.news));
        }
    }

    // A panic elsewhere leaves it as it was between two calls.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where telling fails, the tasks do it.
struct Guard<'a>(&'a Room);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.0.telling.waiting().is_under_way = false;
            self.0.all_listeners().iter().for_each(|it| it.ring());
        }
    }
}

impl Room {
    /// Tells all that has come, and what comes meanwhile.
    pub(super) async fn tell(self: Arc<Self>) {
        let _unless_it_fails = Guard(&self);
        while let Some(turn) = self.telling.next() {
            match turn {
                Turn::Write(batch) => self.write(batch).await,
                Turn::Ring => self.ring().await,
            }
        }
    }

    async fn write(&self, mut batch: Batch) {
        while let Some(last) = batch.last() {
            // Who comes in now finds it in the tail.
            for listeners in self.all_listeners().chunks(IN_A_ROW) {
                for listener in listeners {
                    if !batch.write_to(listener, &self.settings) {
                        listener.ring();
                    }
                }
                yield_now().await;
                self.telling.join(&mut batch);
            }
            batch.drop_to(last);
        }
    }

    async fn ring(&self) {
        for listeners in self.all_listeners().chunks(IN_A_ROW) {
            listeners.iter().for_each(|listener| listener.ring());
            yield_now().await;
        }
    }
}

impl Batch {
    /// The number of the last event; `None` where there is none.
    fn last(&self) -> Option<i64> {
        Some(self.news.back()?.seq)
    }

    /// Whether events may be told with these, or alone where there are none. What takes something back,
    /// or somebody out, or leaves something out, or is large wants care: that is for the tasks.
    fn is_followed_by(&self, news: &[Arc<Told>]) -> bool {
        let mut last = self.last();
        let mut bytes = self.bytes;
        news.iter().all(|told| {
            bytes += told.size();
            let is_next = last
                .replace(told.seq)
                .is_none_or(|last| last + 1 == told.seq);
            is_next && !matches!(told.meaning, Meaning::Deletion(_) | Meaning::Left(_))
        }) && bytes <= BYTES_AT_ONCE
            && self.news.len() + news.len() <= AT_ONCE
    }

    fn extend(&mut self, news: Vec<Arc<Told>>) {
        if !news.is_empty() {
            self.bytes += news.iter().map(|told| told.size()).sum::<usize>();
            self.news.extend(news);
            self.frames = Frames::default();
        }
    }

    /// Takes off what all were told.
    fn drop_to(&mut self, last: i64) {
        while let Some(told) = self.news.pop_front_if(|told| told.seq <= last) {
            self.bytes -= told.size();
        }
    }

    /// Says whether a listener is told all of it.
    fn write_to(&mut self, listener: &Listener, settings: &Settings) -> bool {
        self.last().is_none_or(|last| {
            let scope = listener.peer.scope;
            listener.tell_at_once(last, |told| self.frames_after(told, scope, settings))
        })
    }

    /// All that comes after an event. `None` if that is not all here, or not the same for all.
    fn frames_after(&mut self, told: i64, scope: Scope, settings: &Settings) -> Option<Bytes> {
        let next = told + 1;
        let told_already = usize::try_from(next - self.news.front()?.seq).ok()?;
        let news = self.news.iter().skip(told_already);
        if scope == Scope::Log {
            kept_or(&mut self.frames.base, next, || framed_base(news, settings))
        } else {
            let frames = kept_or(&mut self.frames.rich, next, || {
                framed(news.map(|told| told.frame()))
            });
            Some(frames)
        }
    }
}

/// Those who stand side by side were mostly told as much as each other.
fn kept_or<T: Clone>(kept: &mut Vec<(i64, T)>, next: i64, make: impl FnOnce() -> T) -> T {
    if let Some((_, frames)) = kept.iter().rev().find(|(of, _)| *of == next) {
        return frames.clone();
    }
    let frames = make();
    kept.push((next, frames.clone()));
    frames
}

fn framed_base<'a>(
    news: impl Iterator<Item = &'a Arc<Told>>,
    settings: &Settings,
) -> Option<Bytes> {
    let messages = news.filter(|told| told.meaning == Meaning::Message);
    let frames = messages.map(|told| {
        let by = told.by.as_deref()?;
        told.base_frame(by, || settings.clock())
    });
    Some(framed(frames.collect::<Option<Vec<_>>>()?))
}
