//! Who is connected to this node, whatever groups they listen to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::socket_handle::SocketHandle;

/// All sockets of this node, by the names of their users.
#[derive(Default)]
pub(super) struct ConnectedUsers(Mutex<HashMap<Arc<str>, Vec<Arc<SocketHandle>>>>);

impl ConnectedUsers {
    pub fn add(&self, peer: &Arc<SocketHandle>) {
        let mut people = self.sockets_by_user();
        let sockets = people.entry(peer.username.clone()).or_default();
        sockets.push(peer.clone());
    }

    pub fn remove(&self, peer: &Arc<SocketHandle>) {
        let mut people = self.sockets_by_user();
        if let Some(sockets) = people.get_mut(&peer.username) {
            sockets.retain(|other| !Arc::ptr_eq(other, peer));
            if sockets.is_empty() {
                people.remove(&peer.username);
            }
        }
    }

    pub fn all_sockets(&self) -> Vec<Arc<SocketHandle>> {
        self.sockets_by_user().values().flatten().cloned().collect()
    }

    /// The sockets of a user.
    pub fn sockets_of(&self, username: &str) -> Vec<Arc<SocketHandle>> {
        self.sockets_by_user()
            .get(username)
            .cloned()
            .unwrap_or_default()
    }

    /// Notifies the sockets of a user of a group that the user has become a member of.
    pub fn notify_member_added(&self, username: &str, group: &Arc<str>) {
        for peer in self.sockets_by_user().get(username).into_iter().flatten() {
            peer.add_new_group(group.clone());
        }
    }

    fn sockets_by_user(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<SocketHandle>>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
