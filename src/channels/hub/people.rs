//! Who is connected to this node, whatever groups they listen to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};

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

    /// Lets the sockets of a user know of a group that they have become a member of, at this time.
    pub fn welcome(&self, username: &str, group: &Arc<str>, at: DateTime<Utc>) {
        for peer in self.people().get(username).into_iter().flatten() {
            // One that was opened after that knew of it, and did not ask for it.
            if peer.since <= at {
                peer.welcome(group.clone());
            }
        }
    }

    fn people(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<Peer>>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
