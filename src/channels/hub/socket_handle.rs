//! One socket as the hub knows it: its bell, and why it must go.

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
    channels::{protocol::CloseReason, socket_writer::SocketWriter},
    models::sessions::ActiveSession,
};

/// What a socket is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channels) enum SocketScope {
    /// The log of one group, or as much of it as the base contract knows.
    EventsOnly,
    /// All of one group.
    OneGroup,
    /// All of as many groups as it asks for.
    ManyGroups,
}

impl SocketScope {
    /// Whether it is told what is in no log.
    pub fn receives_ephemerals(self) -> bool {
        self != Self::EventsOnly
    }
}

/// A socket, from its upgrade to its end.
pub(in crate::channels) struct SocketHandle {
    pub username: Arc<str>,
    pub scope: SocketScope,
    /// By which it was opened, or goes on.
    session: Mutex<ActiveSession>,
    ready: Mutex<ReadyQueue>,
    /// Rings when there may be something to take, and when the socket must go.
    wakeup: Notify,
    /// By which it is written to past its task, if it may be.
    pub socket_writer: Option<Arc<SocketWriter>>,
    /// The bytes that its groups have read from the log and not sent.
    pub read_ahead: ReadAheadBytes,
    /// Whether its task does something that the peer is to hear of first.
    is_direct_write_paused: AtomicBool,
    /// Why the socket must go, once it must.
    close_reason: OnceLock<CloseReason>,
    /// Rings once, then.
    close_requested: Notify,
}

/// For what a bell rang.
#[derive(Default)]
struct ReadyQueue {
    /// Its places in groups that have something to take, each once, in the order in which they rang:
    /// a busy group waits until the others had their turn.
    slots: VecDeque<usize>,
    /// Groups that its user has become a member of.
    new_groups: Vec<Arc<str>>,
}

/// Knows when a socket must go.
pub(in crate::channels) struct CloseSignal(Arc<SocketHandle>);

impl SocketHandle {
    /// `line` is where there is one that others than the socket's task may write to.
    pub fn new(
        username: Arc<str>,
        scope: SocketScope,
        session: ActiveSession,
        line: Option<Arc<SocketWriter>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            username,
            scope,
            session: Mutex::new(session),
            ready: Mutex::default(),
            wakeup: Notify::new(),
            socket_writer: line,
            read_ahead: ReadAheadBytes::default(),
            is_direct_write_paused: AtomicBool::new(false),
            close_reason: OnceLock::new(),
            close_requested: Notify::new(),
        })
    }

    /// Has the socket look at one of its places. The place sees to it that it asks once.
    pub fn notify_slot(&self, place: usize) {
        self.ready().slots.push_back(place);
        self.wakeup.notify_one();
    }

    /// Tells the socket of a group that its user has become a member of.
    pub fn add_new_group(&self, group: Arc<str>) {
        if self.scope == SocketScope::ManyGroups {
            self.ready().new_groups.push(group);
            self.wakeup.notify_one();
        }
    }

    /// The place whose turn it is.
    pub fn next_ready_slot(&self) -> Option<usize> {
        self.ready().slots.pop_front()
    }

    pub fn take_new_groups(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ready().new_groups)
    }

    /// Waits until there may be something to take. Safe to be cancelled.
    pub async fn wait_for_events(&self) {
        while !self.has_ready() {
            self.wakeup.notified().await;
        }
    }

    /// The same, or until the socket must go.
    pub async fn wait_for_events_or_close(&self) {
        while !self.has_ready() && self.close_reason().is_none() {
            self.wakeup.notified().await;
        }
    }

    pub fn session(&self) -> ActiveSession {
        *self.lock_session()
    }

    /// Goes on by another session, or by the same one for longer.
    pub fn replace_session(&self, session: ActiveSession) {
        *self.lock_session() = session;
    }

    /// Goes on for as long as the session, or ends with it. These are those that live.
    pub fn refresh_session(&self, live: &HashMap<Uuid, ActiveSession>, asked: Uuid) {
        let mut own = self.lock_session();
        match live.get(&own.id) {
            Some(session) => {
                own.ends_at = session.ends_at;
                own.generation = session.generation;
            }
            // It may go on by another one meanwhile, of which nobody asked.
            None if own.id == asked => self.close(CloseReason::SessionRevoked),
            None => {}
        }
    }

    pub fn close(&self, reason: CloseReason) {
        // The first reason is the one that is told.
        let _ = self.close_reason.set(reason);
        self.close_requested.notify_one();
        self.wakeup.notify_one();
    }

    /// From here on nobody writes past its task, which does what the peer asked for and says so first.
    pub fn set_direct_write_paused(&self, is_busy: bool) {
        self.is_direct_write_paused
            .store(is_busy, Ordering::Release);
    }

    pub fn is_direct_write_paused(&self) -> bool {
        self.is_direct_write_paused.load(Ordering::Acquire)
    }

    /// Why the socket must go, if it must already.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    fn has_ready(&self) -> bool {
        let bell = self.ready();
        !bell.slots.is_empty() || !bell.new_groups.is_empty()
    }

    fn lock_session(&self) -> MutexGuard<'_, ActiveSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, ReadyQueue> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CloseSignal {
    pub fn new(peer: Arc<SocketHandle>) -> Self {
        Self(peer)
    }

    /// Why the socket must go, if it must already.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason()
    }

    /// Waits until the socket must go.
    pub async fn wait(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.close_reason() {
                return reason;
            }
            self.0.close_requested.notified().await;
        }
    }
}
