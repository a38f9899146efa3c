//! Telling a room's listeners what has come, beside whoever brought it: the next change is stored
//! meanwhile, and what comes while they are being told is told with it, in one write.

use std::{
    mem::{replace, take},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::panicking,
};

use axum::body::Bytes;
use tokio::task::yield_now;

use super::room::Room;
use crate::channels::{
    frame::{MOST_HEADER, put_text},
    protocol::event::{Meaning, Told},
};

/// Events that are written to a socket without a turn of its task, at most, and bytes of them.
const AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 16 * 1024;

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
    /// Events as they go over the wire to rich sockets, one after the other, and their numbers.
    Write {
        first: i64,
        last: i64,
        frames: Bytes,
    },
    /// It is for the tasks, each of which reads the tail at its own pace.
    Ring,
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
        let (first, last) = (news.first()?.seq, news.last()?.seq);
        Some(framed(&news).map_or(Turn::Ring, |frames| Turn::Write {
            first,
            last,
            frames,
        }))
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
                        Turn::Write {
                            first,
                            last,
                            frames,
                        } => listener.tell_at_once(*first, *last, frames),
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

/// Events as they are written past the tasks. `None` for those that are told by the tasks, with care:
/// what takes something back, or somebody out, or leaves something out, or is large.
fn framed(news: &[Arc<Told>]) -> Option<Bytes> {
    let is_plain = news
        .iter()
        .all(|told| !matches!(told.meaning, Meaning::Deletion | Meaning::Left(_)));
    let is_gapless = news
        .iter()
        .zip(news.iter().skip(1))
        .all(|(told, next)| told.seq + 1 == next.seq);
    let size = news.iter().map(|told| told.size()).sum::<usize>();
    if !is_plain || !is_gapless || size > BYTES_AT_ONCE {
        return None;
    }
    let mut frames = Vec::with_capacity(size + news.len() * MOST_HEADER);
    for told in news {
        put_text(&mut frames, told.frame().as_bytes());
    }
    Some(frames.into())
}
