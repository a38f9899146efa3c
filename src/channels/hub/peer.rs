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
    channels::{line::Line, protocol::CloseReason},
    models::sessions::Live,
};

/// What a socket is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channels) enum Scope {
    /// The log of one group, or as much of it as the base contract knows.
    Log,
    /// All of one group.
    Group,
    /// All of as many groups as it asks for.
    Groups,
}

impl Scope {
    /// Whether it is told what is in no log.
    pub fn hears_whispers(self) -> bool {
        self != Self::Log
    }
}

/// A socket, from its upgrade to its end.
pub(in crate::channels) struct Peer {
    pub username: Arc<str>,
    pub scope: Scope,
    /// By which it was opened, or goes on.
    session: Mutex<Live>,
    bell: Mutex<Bell>,
    /// Rings when there may be something to take, and when the socket must go.
    news: Notify,
    /// By which it is written to past its task, if it may be.
    pub line: Option<Arc<Line>>,
    /// The bytes that its groups have read from the log and not sent.
    pub read_ahead: ReadAheadBytes,
    /// Whether its task does something that the peer is to hear of first.
    is_busy: AtomicBool,
    /// Why the socket must go, once it must.
    over: OnceLock<CloseReason>,
    /// Rings once, then.
    ended: Notify,
}

/// For what a bell rang.
#[derive(Default)]
struct Bell {
    /// Its places in groups that have something to take, each once, in the order in which they rang:
    /// a busy group waits until the others had their turn.
    rung: VecDeque<usize>,
    /// Groups that its user has become a member of.
    welcomes: Vec<Arc<str>>,
}

/// Knows when a socket must go.
pub(in crate::channels) struct Ending(Arc<Peer>);

impl Peer {
    /// `line` is where there is one that others than the socket's task may write to.
    pub fn new(
        username: Arc<str>,
        scope: Scope,
        session: Live,
        line: Option<Arc<Line>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            username,
            scope,
            session: Mutex::new(session),
            bell: Mutex::default(),
            news: Notify::new(),
            line,
            read_ahead: ReadAheadBytes::default(),
            is_busy: AtomicBool::new(false),
            over: OnceLock::new(),
            ended: Notify::new(),
        })
    }

    /// Has the socket look at one of its places. The place sees to it that it asks once.
    pub fn ring(&self, place: usize) {
        self.bell().rung.push_back(place);
        self.news.notify_one();
    }

    /// Tells the socket of a group that its user has become a member of.
    pub fn welcome(&self, group: Arc<str>) {
        if self.scope == Scope::Groups {
            self.bell().welcomes.push(group);
            self.news.notify_one();
        }
    }

    /// The place whose turn it is.
    pub fn take_rung(&self) -> Option<usize> {
        self.bell().rung.pop_front()
    }

    pub fn take_welcomes(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.bell().welcomes)
    }

    /// Waits until there may be something to take. Safe to be cancelled.
    pub async fn news(&self) {
        while !self.has_news() {
            self.news.notified().await;
        }
    }

    /// The same, or until the socket must go.
    pub async fn news_or_end(&self) {
        while !self.has_news() && self.over().is_none() {
            self.news.notified().await;
        }
    }

    pub fn session(&self) -> Live {
        *self.own_session()
    }

    /// Goes on by another session, or by the same one for longer.
    pub fn go_on_by(&self, session: Live) {
        *self.own_session() = session;
    }

    /// Goes on for as long as the session, or ends with it. These are those that live.
    pub fn compare_session(&self, live: &HashMap<Uuid, Live>, asked: Uuid) {
        let mut own = self.own_session();
        match live.get(&own.id) {
            Some(session) => {
                own.ends = session.ends;
                own.generation = session.generation;
            }
            // It may go on by another one meanwhile, of which nobody asked.
            None if own.id == asked => self.end(CloseReason::SessionRevoked),
            None => {}
        }
    }

    pub fn end(&self, reason: CloseReason) {
        // The first reason is the one that is told.
        let _ = self.over.set(reason);
        self.ended.notify_one();
        self.news.notify_one();
    }

    /// From here on nobody writes past its task, which does what the peer asked for and says so first.
    pub fn be_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Release);
    }

    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Why the socket must go, if it must already.
    pub fn over(&self) -> Option<CloseReason> {
        self.over.get().copied()
    }

    fn has_news(&self) -> bool {
        let bell = self.bell();
        !bell.rung.is_empty() || !bell.welcomes.is_empty()
    }

    fn own_session(&self) -> MutexGuard<'_, Live> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ending {
    pub fn of(peer: Arc<Peer>) -> Self {
        Self(peer)
    }

    /// Why the socket must go, if it must already.
    pub fn now(&self) -> Option<CloseReason> {
        self.0.over()
    }

    /// Waits until the socket must go.
    pub async fn reason(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.now() {
                return reason;
            }
            self.0.ended.notified().await;
        }
    }
}
