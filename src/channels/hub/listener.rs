//! One place of a socket, as the room knows it: how to reach it, and what was whispered to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;

use super::peer::{Peer, Scope};
use crate::channels::{
    line::Put,
    protocol::{
        CloseReason,
        event::Told,
        whisper::{Topic, Whispered},
    },
};

/// Whispers that may wait for one place.
const WHISPERS: usize = 32;

/// How far the peer was told past the socket's task.
#[derive(Default)]
struct Lane {
    /// The last event that the peer was told.
    told: i64,
    /// Whether the next may be written without the task: it has nothing else to tell.
    is_open: bool,
}

/// A socket's place among the listeners of a group.
pub(in crate::channels) struct Listener {
    pub peer: Arc<Peer>,
    /// Which of the socket's places it is.
    number: usize,
    /// How far the log had gone when its user was let in.
    pub admitted: i64,
    /// Where it stands among the listeners of its room.
    standing: AtomicUsize,
    /// Whether the socket was asked to look here, and has not yet.
    has_rung: AtomicBool,
    /// What is whispered to it. `None` for those that are never told.
    whispers: Option<Mutex<VecDeque<Arc<Whispered>>>>,
    lane: Mutex<Lane>,
    /// Why the place is lost, once it is, where the socket has others.
    over: OnceLock<CloseReason>,
}

impl Listener {
    pub fn new(peer: Arc<Peer>, number: usize, admitted: i64) -> Self {
        Self {
            whispers: peer.scope.hears_whispers().then(Mutex::default),
            peer,
            number,
            admitted,
            standing: AtomicUsize::new(0),
            has_rung: AtomicBool::new(false),
            lane: Mutex::default(),
            over: OnceLock::new(),
        }
    }

    /// What tells it from all others that are there.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub fn username(&self) -> &Arc<str> {
        &self.peer.username
    }

    /// Whether this event ends the user's membership. (Another may have ended an earlier one.)
    pub fn is_put_out_by(&self, told: &Told) -> bool {
        told.seq > self.admitted && told.puts_out(self.username())
    }

    /// Ends the place, and with it the socket where it has no others.
    pub fn end(&self, reason: CloseReason) {
        if self.peer.scope == Scope::Groups {
            let _ = self.over.set(reason);
            self.ring();
        } else {
            self.peer.end(reason);
        }
    }

    /// Why the place is lost, if it is.
    pub fn over(&self) -> Option<CloseReason> {
        self.over.get().copied()
    }

    /// Takes what was whispered lately.
    pub fn whispers(&self) -> VecDeque<Arc<Whispered>> {
        let whispers = self.whispers.as_ref().map(|whispers| {
            std::mem::take(&mut *whispers.lock().unwrap_or_else(PoisonError::into_inner))
        });
        whispers.unwrap_or_default()
    }

    /// Puts a whisper where the socket finds it once it has told all events. What it makes out of
    /// date goes, and so does the oldest of too many: a socket that is behind misses them first. But
    /// not of who is here, of which there is one for each member of a small group: that would be
    /// missed until the end of the socket.
    pub fn whisper(&self, whispered: &Arc<Whispered>) {
        // What one reads concerns one's other devices, too.
        let is_own = whispered.topic != Topic::Reading && whispered.user == *self.username();
        let Some(whispers) = self.whispers.as_ref().filter(|_| !is_own) else {
            return;
        };
        let mut whispers = whispers.lock().unwrap_or_else(PoisonError::into_inner);
        whispers.retain(|older| !whispered.replaces(older));
        if whispers.len() >= WHISPERS
            && let Some(oldest) = whispers
                .iter()
                .position(|older| older.topic != Topic::Presence)
        {
            whispers.remove(oldest);
        }
        whispers.push_back(whispered.clone());
        drop(whispers);
        self.ring();
    }

    /// Writes to the peer, without a turn of its task, all events up to the one of the number `last` that
    /// it was not told, if it is to be told nothing else. `after` gives those that come after one. Says
    /// whether the peer is told all of them.
    pub fn tell_at_once(&self, last: i64, after: impl FnOnce(i64) -> Option<Bytes>) -> bool {
        let Some(line) = &self.peer.line else {
            return false;
        };
        let mut lane = self.lane();
        if !lane.is_open {
            return false;
        }
        if lane.told >= last {
            return true;
        }
        let is_over = self.peer.over().is_some() || self.over().is_some();
        if is_over || self.peer.is_busy() {
            return false;
        }
        let Some(frames) = after(lane.told) else {
            return false;
        };
        // Of some events a base socket is told nothing.
        let put = if frames.is_empty() {
            Put::Whole
        } else {
            line.put(frames)
        };
        let is_written = matches!(put, Put::Whole | Put::Part);
        if is_written {
            lane.told = last;
        }
        drop(lane);
        if put == Put::Part {
            // The task sees to the rest.
            self.ring();
        }
        is_written
    }

    /// Lets events be written without the task from here on, unless the room has more by now: then the
    /// task was, or is about to be, asked to tell it.
    pub fn open_lane(&self, told: i64, last: impl FnOnce() -> i64) {
        let mut lane = self.lane();
        lane.told = told;
        lane.is_open = last() <= told;
    }

    /// Has all events told by the task again. Gives the last that was written without it, if any was.
    pub fn close_lane(&self) -> Option<i64> {
        let mut lane = self.lane();
        let was_open = std::mem::take(&mut lane.is_open);
        was_open.then_some(lane.told)
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands among the listeners of its room; they keep this up to date.
    pub fn standing(&self) -> usize {
        self.standing.load(Ordering::Relaxed)
    }

    pub fn stand_at(&self, place: usize) {
        self.standing.store(place, Ordering::Relaxed);
    }

    /// Lets the socket know that there may be something to take.
    pub fn ring(&self) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.peer.ring(self.number);
        }
    }

    /// The socket looks here now: what comes from now on rings anew.
    pub fn look(&self) {
        // And not a mere store: what was there when somebody rang in vain must be seen now.
        self.has_rung.swap(false, Ordering::AcqRel);
    }
}
