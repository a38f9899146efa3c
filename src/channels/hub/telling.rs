//! Telling a room's listeners what has come, beside whoever brought it: the next change is stored
//! meanwhile, and what comes while they are being told is told with it, in one write.

use std::{
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use tokio::task::yield_now;

use super::{listener::Listener, room::Room};
use crate::channels::{
    frame::{MOST_HEADER, put_text},
    protocol::event::{Meaning, Told},
};

/// Bytes that are written to a socket without a turn of its task, at most.
const AT_ONCE: usize = 16 * 1024;

/// Listeners that are told before others get the thread.
const IN_A_ROW: usize = 128;

/// What is to be told, and whether somebody does.
#[derive(Default)]
pub(super) struct Telling(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    news: Vec<Arc<Told>>,
    is_under_way: bool,
}

/// Events as they go over the wire to rich sockets, one after the other.
struct Framed {
    first: i64,
    last: i64,
    frames: Bytes,
}

impl Telling {
    /// Takes what has come, in order; the caller sees to the order. Says whether somebody must begin to
    /// tell it.
    pub fn add(&self, news: Vec<Arc<Told>>) -> bool {
        if news.is_empty() {
            return false;
        }
        let mut waiting = self.waiting();
        waiting.news.extend(news);
        !std::mem::replace(&mut waiting.is_under_way, true)
    }

    /// What has come since. Where there is nothing, nobody tells any more.
    fn next(&self) -> Vec<Arc<Told>> {
        let mut waiting = self.waiting();
        waiting.is_under_way = !waiting.news.is_empty();
        take(&mut waiting.news)
    }

    // A panic elsewhere leaves it as it was between two calls.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever fails to tell leaves it to the next.
struct Guard<'a>(&'a Telling);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.waiting().is_under_way = false;
        }
    }
}

impl Room {
    /// Tells all that has come, and what comes meanwhile.
    pub(super) async fn tell(self: Arc<Self>) {
        let _unless_it_fails = Guard(&self.telling);
        loop {
            let news = self.telling.next();
            if news.is_empty() {
                return;
            }
            let framed = framed(&news);
            // Who comes in now finds it in the tail.
            for listeners in self.all_listeners().chunks(IN_A_ROW) {
                for listener in listeners {
                    tell(listener, framed.as_deref());
                }
                yield_now().await;
            }
        }
    }
}

/// Writes it to who was told all that came before, and asks the tasks of others to.
fn tell(listener: &Listener, framed: Option<&[Framed]>) {
    let is_told = framed.is_some_and(|framed| {
        framed
            .iter()
            .all(|part| listener.tell_at_once(part.first, part.last, &part.frames))
    });
    if !is_told {
        listener.ring();
    }
}

/// What may be written past the tasks, in parts that are not too large. What takes something back, or
/// somebody out, or leaves something out, is told by the tasks, with care.
fn framed(news: &[Arc<Told>]) -> Option<Vec<Framed>> {
    let is_plain = news
        .iter()
        .all(|told| !matches!(told.meaning, Meaning::Deletion | Meaning::Left(_)));
    let is_gapless = news
        .iter()
        .zip(news.iter().skip(1))
        .all(|(told, next)| told.seq + 1 == next.seq);
    let is_small = news.iter().all(|told| told.size() <= AT_ONCE);
    if !(is_plain && is_gapless && is_small) {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = news;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|told| {
            bytes += told.size();
            bytes <= AT_ONCE
        });
        let (part, others) = rest.split_at(fitting.count());
        let mut frames = Vec::with_capacity(bytes + part.len() * MOST_HEADER);
        for told in part {
            put_text(&mut frames, told.frame().as_bytes());
        }
        parts.push(Framed {
            first: first.seq,
            last: part.last()?.seq,
            frames: frames.into(),
        });
        rest = others;
    }
    Some(parts)
}
