//! All sockets of this node, by the names of their users.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::socket_handle::SocketHandle;
use crate::channels::protocol::CloseReason;

/// The sockets of this node, in all groups.
#[derive(Default)]
pub(in crate::channels) struct ConnectedSockets {
    by_user: Mutex<HashMap<Arc<str>, Vec<Arc<SocketHandle>>>>,
    /// `true` if the server stops: a new socket must close at once.
    is_draining: AtomicBool,
}

impl ConnectedSockets {
    /// Adds a socket, which [`ConnectedSockets::remove`] removes.
    pub fn add(&self, socket: &Arc<SocketHandle>) {
        let mut by_user = self.by_user();
        let sockets = by_user.entry(socket.username.clone()).or_default();
        sockets.push(socket.clone());
        drop(by_user);
        // The check follows the insertion: a drain that begins now finds the socket in the map.
        if self.is_draining.load(Ordering::SeqCst) {
            socket.close(CloseReason::ServerRestart);
        }
    }

    /// Removes a socket.
    pub fn remove(&self, socket: &Arc<SocketHandle>) {
        let mut by_user = self.by_user();
        if let Some(sockets) = by_user.get_mut(&socket.username) {
            sockets.retain(|other| !Arc::ptr_eq(other, socket));
            if sockets.is_empty() {
                by_user.remove(&socket.username);
            }
        }
    }

    /// All sockets.
    pub fn all(&self) -> Vec<Arc<SocketHandle>> {
        self.by_user().values().flatten().cloned().collect()
    }

    /// The sockets of a user.
    pub fn of_user(&self, username: &str) -> Vec<Arc<SocketHandle>> {
        self.by_user().get(username).cloned().unwrap_or_default()
    }

    /// Notifies the sockets of a user that the user has become a member of a group.
    pub fn notify_member_added(&self, username: &str, group: &Arc<str>) {
        for socket in self.by_user().get(username).into_iter().flatten() {
            socket.add_new_group(group.clone());
        }
    }

    /// Closes all sockets, spread over this time, and every later socket at once.
    pub async fn drain(&self, over: Duration) {
        self.is_draining.store(true, Ordering::SeqCst);
        let sockets = self.all();
        let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let begin = Instant::now();
        for (i, socket) in (1..).zip(sockets) {
            sleep_until(begin + over.mul_f64(f64::from(i) / f64::from(count))).await;
            socket.close(CloseReason::ServerRestart);
        }
    }

    fn by_user(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<SocketHandle>>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
