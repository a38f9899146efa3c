//! One socket as the other parts of the node know it: how they wake the socket's task, write to the socket, and
//! close it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use uuid::Uuid;

use super::read_ahead::ReadAheadBytes;
use crate::{
    channels::{
        protocol::{CloseReason, event::EventEffect},
        socket_record::SocketRecord,
        socket_writer::SocketWriter,
    },
    models::sessions::ActiveSession,
};

/// The groups of a socket, and the kinds of events that the socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channels) enum SocketScope {
    /// The events of one group. A base socket receives only the events that the base contract knows.
    EventsOnly,
    /// Events and ephemeral events of one group.
    OneGroup,
    /// Events and ephemeral events of as many groups as the client requests.
    ManyGroups,
}

impl SocketScope {
    /// Returns `true` if a socket of this scope receives a frame for an event with this effect. A base socket receives
    /// only new messages.
    pub fn receives_frame_of(self, effect: &EventEffect) -> bool {
        self != Self::EventsOnly || *effect == EventEffect::CreatesMessage
    }

    /// Returns `true` if the socket receives ephemeral events.
    pub fn receives_ephemerals(self) -> bool {
        self != Self::EventsOnly
    }
}

/// A socket, from its upgrade to its end.
pub(in crate::channels) struct SocketHandle {
    pub username: Arc<str>,
    pub scope: SocketScope,
    /// The session that authenticates the socket. A rotated or another session of the user may replace it.
    session: Mutex<ActiveSession>,
    ready: Mutex<ReadyQueue>,
    /// Wakes the socket's task when something is ready, and when the socket must close.
    wakeup: Notify,
    /// The record of the socket in the log and the metrics.
    pub record: SocketRecord,
    /// The writer for direct writes, where direct writes are possible.
    pub socket_writer: Option<Arc<SocketWriter>>,
    /// The bytes that all subscriptions have read from the log and not sent.
    pub read_ahead: ReadAheadBytes,
    /// `true` if the socket's task handles a request, whose reply the client receives first.
    is_direct_write_paused: AtomicBool,
    /// The reason to close the socket, once it must close.
    close_reason: OnceLock<CloseReason>,
    /// Wakes the waiter of the close reason.
    close_requested: Notify,
}

/// The work that waits for the socket's task.
#[derive(Default)]
struct ReadyQueue {
    /// The slots of subscriptions that requested a turn, each once, in the order of their requests. A busy group
    /// waits until the other groups had their turn.
    slots: VecDeque<usize>,
    /// Groups that the user has become a member of.
    new_groups: Vec<Arc<str>>,
}

/// A handle that waits until a socket must close.
pub(in crate::channels) struct CloseSignal(Arc<SocketHandle>);

impl SocketHandle {
    /// A socket of a user, authenticated by a session. `writer` is `None` where only the socket's task can write.
    pub fn new(
        username: Arc<str>,
        scope: SocketScope,
        session: ActiveSession,
        writer: Option<Arc<SocketWriter>>,
        record: SocketRecord,
    ) -> Arc<Self> {
        Arc::new(Self {
            username,
            scope,
            record,
            session: Mutex::new(session),
            ready: Mutex::default(),
            wakeup: Notify::new(),
            socket_writer: writer,
            read_ahead: ReadAheadBytes::default(),
            is_direct_write_paused: AtomicBool::new(false),
            close_reason: OnceLock::new(),
            close_requested: Notify::new(),
        })
    }

    /// Requests a turn for a subscription. The subscriber ensures that it requests once.
    pub fn notify_slot(&self, slot: usize) {
        self.ready().slots.push_back(slot);
        self.wakeup.notify_one();
    }

    /// Notifies a socket of many groups that its user has become a member of a group.
    pub fn add_new_group(&self, group: Arc<str>) {
        if self.scope == SocketScope::ManyGroups {
            self.ready().new_groups.push(group);
            self.wakeup.notify_one();
        }
    }

    /// Takes the slot whose turn it is.
    pub fn next_ready_slot(&self) -> Option<usize> {
        self.ready().slots.pop_front()
    }

    /// Takes the groups that the user has become a member of.
    pub fn take_new_groups(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ready().new_groups)
    }

    /// Waits until something is ready. Safe to cancel.
    pub async fn wait_for_events(&self) {
        while !self.has_ready() {
            self.wakeup.notified().await;
        }
    }

    /// Waits until something is ready or the socket must close. Safe to cancel.
    pub async fn wait_for_events_or_close(&self) {
        while !self.has_ready() && self.close_reason().is_none() {
            self.wakeup.notified().await;
        }
    }

    /// The session of the socket.
    pub fn session(&self) -> ActiveSession {
        *self.lock_session()
    }

    /// Replaces the session by another one of the same user, or by the same one with a later end.
    pub fn replace_session(&self, session: ActiveSession) {
        *self.lock_session() = session;
    }

    /// Updates the session from the sessions that exist, or closes the socket if its session is missing. Returns
    /// `true` if this call closes the socket. `queried` is the session of the socket when the sessions were read.
    pub fn refresh_session(&self, existing: &HashMap<Uuid, ActiveSession>, queried: Uuid) -> bool {
        let mut session = self.lock_session();
        match existing.get(&session.id) {
            Some(stored) => {
                session.ends_at = stored.ends_at;
                session.generation = stored.generation;
                false
            }
            None if session.id == queried => self.close(CloseReason::SessionRevoked),
            // The socket has another session since then, which was not read.
            None => false,
        }
    }

    /// Closes the socket. The first reason counts. Returns `true` if this reason is the first.
    pub fn close(&self, reason: CloseReason) -> bool {
        let is_first = self.close_reason.set(reason).is_ok();
        self.close_requested.notify_one();
        self.wakeup.notify_one();
        is_first
    }

    /// Pauses or resumes direct writes to the socket.
    pub fn set_direct_write_paused(&self, is_paused: bool) {
        self.is_direct_write_paused
            .store(is_paused, Ordering::Release);
    }

    /// Returns `true` while direct writes are paused.
    pub fn is_direct_write_paused(&self) -> bool {
        self.is_direct_write_paused.load(Ordering::Acquire)
    }

    /// The reason to close the socket, once it must close.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    fn has_ready(&self) -> bool {
        let ready = self.ready();
        !ready.slots.is_empty() || !ready.new_groups.is_empty()
    }

    fn lock_session(&self) -> MutexGuard<'_, ActiveSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, ReadyQueue> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CloseSignal {
    /// A handle for one socket.
    pub fn new(socket: Arc<SocketHandle>) -> Self {
        Self(socket)
    }

    /// The reason to close the socket, once it must close.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason()
    }

    /// Waits until the socket must close.
    pub async fn wait(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.close_reason() {
                return reason;
            }
            self.0.close_requested.notified().await;
        }
    }
}
