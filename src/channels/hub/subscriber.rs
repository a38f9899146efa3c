//! One place of a socket, as the room knows it: how to reach it, and what was whispered to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;

use super::socket_handle::{SocketHandle, SocketScope};
use crate::channels::{
    protocol::{
        CloseReason,
        ephemeral::{EncodedEphemeral, EphemeralKind},
        event::EncodedEvent,
    },
    socket_writer::WriteOutcome,
};

/// Whispers that may wait for one place.
const MAX_PENDING_EPHEMERALS: usize = 32;

/// How far the peer was told past the socket's task.
#[derive(Default)]
struct DirectWrite {
    /// The last event that the peer was told.
    delivered_seq: i64,
    /// Whether the next may be written without the task: it has nothing else to tell.
    is_enabled: bool,
}

/// A socket's place among the listeners of a group.
pub(in crate::channels) struct Subscriber {
    pub socket: Arc<SocketHandle>,
    /// Which of the socket's places it is.
    slot: usize,
    /// How far the log had gone when its user was let in.
    pub joined_at_seq: i64,
    /// Where it stands among the listeners of its room.
    index: AtomicUsize,
    /// Whether the socket was asked to look here, and has not yet.
    is_notified: AtomicBool,
    /// What is whispered to it. `None` for those that are never told.
    pending_ephemerals: Option<Mutex<VecDeque<Arc<EncodedEphemeral>>>>,
    direct_write: Mutex<DirectWrite>,
    /// Why the place is lost, once it is, where the socket has others.
    close_reason: OnceLock<CloseReason>,
}

impl Subscriber {
    pub fn new(socket: Arc<SocketHandle>, slot: usize, joined_at_seq: i64) -> Self {
        Self {
            pending_ephemerals: socket.scope.receives_ephemerals().then(Mutex::default),
            socket,
            slot,
            joined_at_seq,
            index: AtomicUsize::new(0),
            is_notified: AtomicBool::new(false),
            direct_write: Mutex::default(),
            close_reason: OnceLock::new(),
        }
    }

    /// What tells it from all others that are there.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub fn username(&self) -> &Arc<str> {
        &self.socket.username
    }

    /// Whether this event ends the user's membership. (Another may have ended an earlier one.)
    pub fn is_removed_by(&self, told: &EncodedEvent) -> bool {
        told.seq > self.joined_at_seq && told.removes_member(self.username())
    }

    /// Ends the place, and with it the socket where it has no others.
    pub fn close(&self, reason: CloseReason) {
        if self.socket.scope == SocketScope::ManyGroups {
            let _ = self.close_reason.set(reason);
            self.notify();
        } else {
            self.socket.close(reason);
        }
    }

    /// Why the place is lost, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    /// Takes what was whispered lately.
    pub fn take_ephemerals(&self) -> VecDeque<Arc<EncodedEphemeral>> {
        let whispers = self.pending_ephemerals.as_ref().map(|whispers| {
            std::mem::take(&mut *whispers.lock().unwrap_or_else(PoisonError::into_inner))
        });
        whispers.unwrap_or_default()
    }

    /// Puts a whisper where the socket finds it once it has told all events. What it makes out of
    /// date goes, and so does the oldest of too many: a socket that is behind misses them first. But
    /// not of who is here, of which there is one for each member of a small group: that would be
    /// missed until the end of the socket.
    pub fn queue_ephemeral(&self, whispered: &Arc<EncodedEphemeral>) {
        // What one reads concerns one's other devices, too.
        let is_own = whispered.kind != EphemeralKind::Read && whispered.user == *self.username();
        let Some(whispers) = self.pending_ephemerals.as_ref().filter(|_| !is_own) else {
            return;
        };
        let mut whispers = whispers.lock().unwrap_or_else(PoisonError::into_inner);
        whispers.retain(|older| !whispered.supersedes(older));
        if whispers.len() >= MAX_PENDING_EPHEMERALS
            && let Some(oldest) = whispers
                .iter()
                .position(|older| older.kind != EphemeralKind::Presence)
        {
            whispers.remove(oldest);
        }
        whispers.push_back(whispered.clone());
        drop(whispers);
        self.notify();
    }

    /// Writes to the peer, without a turn of its task, all events up to the one of the number `last` that
    /// it was not told, if it is to be told nothing else. `after` gives those that come after one. Says
    /// whether the peer is told all of them.
    pub fn write_direct(&self, last: i64, after: impl FnOnce(i64) -> Option<Bytes>) -> bool {
        let Some(line) = &self.socket.socket_writer else {
            return false;
        };
        let mut lane = self.direct_write();
        if !lane.is_enabled {
            return false;
        }
        if lane.delivered_seq >= last {
            return true;
        }
        let is_over = self.socket.close_reason().is_some() || self.close_reason().is_some();
        if is_over || self.socket.is_direct_write_paused() {
            return false;
        }
        let Some(frames) = after(lane.delivered_seq) else {
            return false;
        };
        // Of some events a base socket is told nothing.
        let put = if frames.is_empty() {
            WriteOutcome::Written
        } else {
            line.try_write(frames)
        };
        let is_written = matches!(put, WriteOutcome::Written | WriteOutcome::Partial);
        if is_written {
            lane.delivered_seq = last;
        }
        drop(lane);
        if put == WriteOutcome::Partial {
            // The task sees to the rest.
            self.notify();
        }
        is_written
    }

    /// Lets events be written without the task from here on, unless the room has more by now: then the
    /// task was, or is about to be, asked to tell it.
    pub fn enable_direct_write(&self, told: i64, last: impl FnOnce() -> i64) {
        let mut lane = self.direct_write();
        lane.delivered_seq = told;
        lane.is_enabled = last() <= told;
    }

    /// Has all events told by the task again. Gives the last that was written without it, if any was.
    pub fn disable_direct_write(&self) -> Option<i64> {
        let mut lane = self.direct_write();
        let was_open = std::mem::take(&mut lane.is_enabled);
        was_open.then_some(lane.delivered_seq)
    }

    fn direct_write(&self) -> MutexGuard<'_, DirectWrite> {
        self.direct_write
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands among the listeners of its room; they keep this up to date.
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    pub fn set_index(&self, place: usize) {
        self.index.store(place, Ordering::Relaxed);
    }

    /// Lets the socket know that there may be something to take.
    pub fn notify(&self) {
        if !self.is_notified.swap(true, Ordering::AcqRel) {
            self.socket.notify_slot(self.slot);
        }
    }

    /// The socket looks here now: what comes from now on rings anew.
    pub fn clear_notified(&self) {
        // And not a mere store: what was there when somebody rang in vain must be seen now.
        self.is_notified.swap(false, Ordering::AcqRel);
    }
}
