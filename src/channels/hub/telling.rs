//! Telling a room's listeners what has come, beside whoever brought it: the next change is stored
//! meanwhile, and what comes while they are being told is told with it, in one write.

use std::{
    mem::{replace, take},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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

/// Events that follow one another, and how they go over the wire, once somebody is to be told so.
struct Batch {
    news: Vec<Arc<Told>>,
    first: i64,
    last: i64,
    rich: OnceLock<Bytes>,
    /// `None` where base sockets are not all told the same.
    base: OnceLock<Option<Bytes>>,
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
        if is_more {
            return Some(Turn::Ring);
        }
        Batch::of(news)
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
            // Who comes in now finds it in the tail.
            for listeners in self.all_listeners().chunks(IN_A_ROW) {
                for listener in listeners {
                    let is_told = match &turn {
                        Turn::Write(batch) => batch.write_to(listener, &self.settings),
                        Turn::Ring => false,
                    };
                    if !is_told {
                        listener.ring();
                    }
                }
                yield_now().await;
            }
        }
    }
}

impl Batch {
    /// What is told by the tasks is what takes something back, or somebody out, or leaves something
    /// out, or is large: that wants care. `None` where there is nothing.
    fn of(news: Vec<Arc<Told>>) -> Option<Turn> {
        let (first, last) = (news.first()?.seq, news.last()?.seq);
        let is_plain = news
            .iter()
            .all(|told| !matches!(told.meaning, Meaning::Deletion | Meaning::Left(_)));
        let is_gapless = news
            .iter()
            .zip(news.iter().skip(1))
            .all(|(told, next)| told.seq + 1 == next.seq);
        let size = news.iter().map(|told| told.size()).sum::<usize>();
        if !is_plain || !is_gapless || size > BYTES_AT_ONCE {
            return Some(Turn::Ring);
        }
        Some(Turn::Write(Self {
            news,
            first,
            last,
            rich: OnceLock::new(),
            base: OnceLock::new(),
        }))
    }

    /// Says whether it was written.
    fn write_to(&self, listener: &Listener, settings: &Settings) -> bool {
        let frames = if listener.peer.scope == Scope::Log {
            self.base
                .get_or_init(|| self.framed_base(settings))
                .as_ref()
        } else {
            Some(self.rich.get_or_init(|| self.framed_rich()))
        };
        frames.is_some_and(|frames| listener.tell_at_once(self.first, self.last, frames))
    }

    fn framed_rich(&self) -> Bytes {
        framed(self.news.iter().map(|told| told.frame()))
    }

    fn framed_base(&self, settings: &Settings) -> Option<Bytes> {
        let is_message = |told: &&Arc<Told>| told.meaning == Meaning::Message;
        let messages = self.news.iter().filter(is_message);
        let frames = messages.map(|told| {
            let by = told.by.as_deref()?;
            told.base_frame(by, || settings.clock())
        });
        Some(framed(frames.collect::<Option<Vec<_>>>()?))
    }
}
