//! A socket's subscription to one group, as the room knows it: how the room reaches the socket.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;

use super::socket_handle::{SocketHandle, SocketScope};
use crate::{
    channels::{
        protocol::{
            CloseReason,
            ephemeral::{EncodedEphemeral, EphemeralKind},
            event::EncodedEvent,
        },
        socket_writer::WriteOutcome,
    },
    metrics::METRICS,
};

/// Ephemeral events that may wait for one subscription.
const MAX_PENDING_EPHEMERALS: usize = 32;

/// The state of the room's writes to the socket.
#[derive(Default)]
struct DirectWrite {
    /// The seq of the last event that the socket received.
    delivered_seq: i64,
    /// `true` if the room may write the next event: the socket's task has nothing else to send.
    is_enabled: bool,
}

/// The part of a subscription that the room and the socket's task share.
pub(in crate::channels) struct Subscriber {
    pub socket: Arc<SocketHandle>,
    /// The index of the subscription among the subscriptions of the socket.
    slot: usize,
    /// The head of the log when the user's membership was read.
    pub joined_at_seq: i64,
    /// The index of the subscriber among the subscribers of the room.
    index: AtomicUsize,
    /// `true` if the socket was notified, and has not begun its turn.
    is_notified: AtomicBool,
    /// The ephemeral events that wait. `None` for a socket that receives none.
    pending_ephemerals: Option<Mutex<VecDeque<Arc<EncodedEphemeral>>>>,
    direct_write: Mutex<DirectWrite>,
    /// The seq of the last event that the socket's task wrote or skipped.
    task_seq: AtomicI64,
    /// The reason for the loss of the subscription, where the socket has others.
    close_reason: OnceLock<CloseReason>,
}

impl Subscriber {
    /// A subscription in a slot of a socket, of a user whose membership was read at a head of the log.
    pub fn new(socket: Arc<SocketHandle>, slot: usize, joined_at_seq: i64) -> Self {
        Self {
            pending_ephemerals: socket.scope.receives_ephemerals().then(Mutex::default),
            socket,
            slot,
            joined_at_seq,
            index: AtomicUsize::new(0),
            is_notified: AtomicBool::new(false),
            direct_write: Mutex::default(),
            task_seq: AtomicI64::new(joined_at_seq),
            close_reason: OnceLock::new(),
        }
    }

    /// An id that is unique among all subscribers at the same time.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub fn username(&self) -> &Arc<str> {
        &self.socket.username
    }

    /// Returns `true` if an event ends the membership of the subscription. An older event may have ended an
    /// earlier membership of the same user.
    pub fn is_removed_by(&self, event: &EncodedEvent) -> bool {
        event.seq > self.joined_at_seq && event.removes_member(self.username())
    }

    /// Closes the subscription; closes the socket, if the socket has no others.
    pub fn close(&self, reason: CloseReason) {
        if self.socket.scope == SocketScope::ManyGroups {
            let _ = self.close_reason.set(reason);
            self.notify();
        } else {
            self.socket.close(reason);
        }
    }

    /// The reason for the loss of the subscription, if it is lost.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    /// Takes the ephemeral events that wait.
    pub fn take_ephemerals(&self) -> VecDeque<Arc<EncodedEphemeral>> {
        let Some(pending) = &self.pending_ephemerals else {
            return VecDeque::new();
        };
        std::mem::take(&mut *pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues an ephemeral event, which the socket sends after all events of the log.
    ///
    /// The event replaces an older one that it supersedes. If too many wait, the oldest is dropped, so a socket
    /// that is behind loses ephemeral events first. Presence is never dropped: a small group has at most one event
    /// for each member, and the socket would not receive it again.
    pub fn queue_ephemeral(&self, event: &Arc<EncodedEphemeral>) {
        // The read position of a user concerns the user's other sockets too.
        let is_own = event.kind != EphemeralKind::Read && event.user == *self.username();
        let Some(pending) = self.pending_ephemerals.as_ref().filter(|_| !is_own) else {
            return;
        };
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|older| !event.supersedes(older));
        if pending.len() >= MAX_PENDING_EPHEMERALS
            && let Some(oldest) = pending
                .iter()
                .position(|older| older.kind != EphemeralKind::Presence)
        {
            pending.remove(oldest);
            METRICS.ephemeral_dropped.inc();
        }
        pending.push_back(event.clone());
        drop(pending);
        self.notify();
    }

    /// Writes the events up to seq `last` straight to the socket, bypassing its task. `encode_after` returns the
    /// frames of the events after a seq. Returns `true` when the socket has all events up to `last`.
    pub fn write_direct(&self, last: i64, encode_after: impl FnOnce(i64) -> Option<Bytes>) -> bool {
        let Some(writer) = &self.socket.socket_writer else {
            return false;
        };
        let mut direct_write = self.direct_write();
        if !direct_write.is_enabled {
            return false;
        }
        if direct_write.delivered_seq >= last {
            return true;
        }
        let is_closed = self.socket.close_reason().is_some() || self.close_reason().is_some();
        if is_closed || self.socket.is_direct_write_paused() {
            return false;
        }
        let Some(frames) = encode_after(direct_write.delivered_seq) else {
            return false;
        };
        // A base socket receives no frame for some kinds of events.
        let outcome = if frames.is_empty() {
            WriteOutcome::Written
        } else {
            let outcome = writer.try_write(frames);
            let counters = &METRICS.direct_writes;
            match outcome {
                WriteOutcome::Written => counters.written.inc(),
                WriteOutcome::Partial => counters.partial.inc(),
                WriteOutcome::Blocked | WriteOutcome::Closed => counters.refused.inc(),
            };
            outcome
        };
        let is_written = matches!(outcome, WriteOutcome::Written | WriteOutcome::Partial);
        if is_written {
            direct_write.delivered_seq = last;
        }
        drop(direct_write);
        if outcome == WriteOutcome::Partial {
            // The socket's task writes the rest.
            self.notify();
        }
        is_written
    }

    /// Lets the room write the events after `delivered_seq`, unless the room has newer events already: then the
    /// socket's task is notified of them. `last_seq` returns the room's last seq.
    pub fn enable_direct_write(&self, delivered_seq: i64, last_seq: impl FnOnce() -> i64) {
        let mut direct_write = self.direct_write();
        direct_write.delivered_seq = delivered_seq;
        direct_write.is_enabled = last_seq() <= delivered_seq;
    }

    /// Makes the socket's task write all events. Returns the seq of the last event that the socket received, if
    /// the room was allowed to write.
    pub fn disable_direct_write(&self) -> Option<i64> {
        let mut direct_write = self.direct_write();
        let was_enabled = std::mem::take(&mut direct_write.is_enabled);
        was_enabled.then_some(direct_write.delivered_seq)
    }

    /// Notes the seq of the last event that the socket's task wrote or skipped.
    pub fn set_task_seq(&self, seq: i64) {
        self.task_seq.store(seq, Ordering::Relaxed);
    }

    /// The number of events that the socket lacks, of those up to the room's last event. A socket that the room
    /// writes to lacks none.
    pub fn lag(&self, room_last_seq: i64) -> i64 {
        if self.direct_write().is_enabled {
            return 0;
        }
        (room_last_seq - self.task_seq.load(Ordering::Relaxed)).max(0)
    }

    fn direct_write(&self) -> MutexGuard<'_, DirectWrite> {
        self.direct_write
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The index among the subscribers of the room, which the room keeps up to date.
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    pub fn set_index(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// Requests a turn of the socket's task for this subscription.
    pub fn notify(&self) {
        if !self.is_notified.swap(true, Ordering::AcqRel) {
            self.socket.notify_slot(self.slot);
        }
    }

    /// Begins a turn: the next [`Subscriber::notify`] requests another one.
    pub fn clear_notified(&self) {
        // A swap, not a store: this turn must see all changes before a notification that found the flag already set.
        self.is_notified.swap(false, Ordering::AcqRel);
    }
}
