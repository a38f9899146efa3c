//! The presence of one room, shared between the sockets of the room and the messages of other nodes.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::watch;

use super::Presence;
use crate::channels::delivery::LARGE_GROUP_MEMBERS;

/// The presence of a room.
pub(in crate::channels) struct RoomPresence {
    /// Held while messages about the group are sent to nodes and to sockets, so that they are sent in the order of
    /// the changes.
    state: Mutex<Presence>,
    /// `true` if the other nodes were queried.
    is_queried: AtomicBool,
    /// `true` if all other nodes have answered.
    is_complete: watch::Sender<bool>,
    /// The number of online users of a large group when it was last counted; 0 until then.
    online_count: AtomicUsize,
    /// `true` if the number has changed since it was last sent to the sockets.
    is_count_due: AtomicBool,
}

/// The online members of a group, as sockets receive them.
pub(in crate::channels) enum OnlineUsers {
    Names(Vec<String>),
    Count(usize),
}

impl Default for RoomPresence {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            is_queried: AtomicBool::new(false),
            is_complete: watch::channel(false).0,
            online_count: AtomicUsize::new(0),
            is_count_due: AtomicBool::new(false),
        }
    }
}

impl RoomPresence {
    /// Locks the state.
    pub fn state(&self) -> MutexGuard<'_, Presence> {
        // A panic elsewhere leaves the state as it was between two calls of its own methods.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the other nodes as queried. Returns `true` if they were not marked before. The caller holds the lock of
    /// the state.
    pub fn mark_queried(&self) -> bool {
        !self.is_queried.swap(true, Ordering::Relaxed)
    }

    /// Returns `true` if the other nodes were queried.
    pub fn is_queried(&self) -> bool {
        self.is_queried.load(Ordering::Relaxed)
    }

    /// Wakes the sockets that wait for the answers of all nodes, if no answer is missing. The caller holds the lock
    /// of the state.
    pub fn notify_if_complete(&self, state: &Presence) {
        // Before the query, no answer is awaited and nothing is known.
        if self.is_queried() && state.awaited_nodes().is_empty() {
            self.is_complete.send_replace(true);
        }
    }

    /// Waits until all other nodes have answered.
    pub async fn wait_complete(&self) {
        // The wait cannot fail, because the room has the sender.
        let _ = self
            .is_complete
            .subscribe()
            .wait_for(|is_complete| *is_complete)
            .await;
    }

    /// The names of the online users; of a large group, their number when it was last counted.
    pub fn online_users(&self, is_large: bool) -> OnlineUsers {
        if is_large {
            let count = self.online_count.load(Ordering::Relaxed);
            return OnlineUsers::Count(if count > 0 { count } else { self.count() });
        }
        let state = self.state();
        let online = state.online_users();
        // The group may be large although its members could not be counted.
        if i64::try_from(online.len()).is_ok_and(|online| online <= LARGE_GROUP_MEMBERS) {
            OnlineUsers::Names(online.into_iter().map(ToOwned::to_owned).collect())
        } else {
            OnlineUsers::Count(online.len())
        }
    }

    /// Marks the number of online users as changed.
    pub fn mark_count_due(&self) {
        self.is_count_due.store(true, Ordering::Relaxed);
    }

    /// Returns the number of online users, if it is marked as changed, and clears the mark.
    pub fn take_due_count(&self) -> Option<usize> {
        let is_due = self.is_count_due.swap(false, Ordering::Relaxed);
        is_due.then(|| self.count())
    }

    fn count(&self) -> usize {
        let count = self.state().online_count();
        self.online_count.store(count, Ordering::Relaxed);
        count
    }
}
