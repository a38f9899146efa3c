//! Who is connected to this node, whatever groups they listen to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::peer::Peer;

/// All sockets of this node, by the names of their users.
#[derive(Default)]
pub(super) struct People(Mutex<HashMap<Arc<str>, Vec<Arc<Peer>>>>);

impl People {
    pub fn enter(&self, peer: &Arc<Peer>) {
        let mut people = self.people();
        let sockets = people.entry(peer.username.clone()).or_default();
        sockets.push(peer.clone());
    }

    pub fn leave(&self, peer: &Arc<Peer>) {
        let mut people = self.people();
        if let Some(sockets) = people.get_mut(&peer.username) {
            sockets.retain(|other| !Arc::ptr_eq(other, peer));
            if sockets.is_empty() {
                people.remove(&peer.username);
            }
        }
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.people().values().flatten().cloned().collect()
    }

    /// The sockets of a user.
    pub fn of(&self, username: &str) -> Vec<Arc<Peer>> {
        self.people().get(username).cloned().unwrap_or_default()
    }

    /// Notifies the sockets of a user of a group that the user has become a member of.
    pub fn welcome(&self, username: &str, group: &Arc<str>) {
        for peer in self.people().get(username).into_iter().flatten() {
            peer.welcome(group.clone());
        }
    }

    fn people(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<Peer>>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
