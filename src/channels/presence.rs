//! Who is here in a group, on all nodes. No I/O.
//!
//! Each node knows its own people by their sockets, and those of the others by what they say. A node
//! that is not heard of any more takes all its people with it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Who has come or gone, seen over all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    pub user: Arc<str>,
    pub is_online: bool,
}

#[derive(Debug, Default)]
pub struct Presence {
    local: HashMap<Arc<str>, LocalUser>,
    /// By node.
    remote: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Nodes that were asked who is here and have not said it yet.
    awaited_nodes: HashSet<Arc<str>>,
}

/// A user on this node.
#[derive(Debug, Default)]
struct LocalUser {
    sockets: Vec<usize>,
    /// When the last socket went. The user may be about to come back: a page that is loaded again
    /// is no absence.
    left_at: Option<Instant>,
}

impl Presence {
    /// A socket of a user comes. Gives the change, if it is one; and whether other nodes must hear
    /// that the user is on this one.
    pub fn add_socket(&mut self, user: &Arc<str>, socket: usize) -> (Option<PresenceChange>, bool) {
        let was_online = self.is_online(user);
        let is_new = !self.local.contains_key(user);
        let here = self.local.entry(user.clone()).or_default();
        here.sockets.push(socket);
        here.left_at = None;
        (self.change_since(user, was_online), is_new)
    }

    /// A socket goes. Says whether it was the user's last on this node.
    pub fn remove_socket(&mut self, user: &str, socket: usize, now: Instant) -> bool {
        let Some(here) = self.local.get_mut(user) else {
            return false;
        };
        let before = here.sockets.len();
        here.sockets.retain(|other| *other != socket);
        let is_last = here.sockets.is_empty() && before > 0;
        if is_last {
            here.left_at = Some(now);
        }
        is_last
    }

    /// A user who has gone at this time, and has not come back, is not on this node any more.
    /// `None` where that is not so.
    pub fn expire_user(
        &mut self,
        user: &Arc<str>,
        gone: Instant,
    ) -> Option<Option<PresenceChange>> {
        if self.local.get(user)?.left_at != Some(gone) {
            return None;
        }
        self.remove_user(user)
    }

    /// A user is not on this node any more, whatever sockets there are. `None` where there was none.
    pub fn remove_user(&mut self, user: &Arc<str>) -> Option<Option<PresenceChange>> {
        self.local.remove(user)?;
        Some(self.change_since(user, true))
    }

    /// Another node says who is there, all of them.
    pub fn apply_snapshot(
        &mut self,
        node: &Arc<str>,
        users: HashSet<Arc<str>>,
    ) -> Vec<PresenceChange> {
        self.awaited_nodes.remove(node);
        let before = if users.is_empty() {
            self.remote.remove(node).unwrap_or_default()
        } else {
            let before = self.remote.insert(node.clone(), users.clone());
            before.unwrap_or_default()
        };
        let came = users.difference(&before).map(|user| (user, true));
        let went = before.difference(&users).map(|user| (user, false));
        came.chain(went)
            // Who is here by another node as well has neither come nor gone.
            .filter(|(user, _)| !self.is_online_except_on(user, node))
            .map(|(user, is_online)| PresenceChange {
                user: user.clone(),
                is_online,
            })
            .collect()
    }

    /// Another node says that a user is there now.
    pub fn set_online(&mut self, node: &Arc<str>, user: &Arc<str>) -> Option<PresenceChange> {
        let was_online = self.is_online(user);
        let users = self.remote.entry(node.clone()).or_default();
        users.insert(user.clone());
        self.change_since(user, was_online)
    }

    /// Another node says that a user is not there any more.
    pub fn set_offline(&mut self, node: &Arc<str>, user: &Arc<str>) -> Option<PresenceChange> {
        let was_online = self.is_online(user);
        if let Some(users) = self.remote.get_mut(node) {
            users.remove(user);
            if users.is_empty() {
                self.remote.remove(node);
            }
        }
        self.change_since(user, was_online)
    }

    /// A node has gone, with all its people.
    pub fn remove_node(&mut self, node: &Arc<str>) -> Vec<PresenceChange> {
        self.apply_snapshot(node, HashSet::new())
    }

    /// These nodes are to say who is there.
    pub fn set_awaited_nodes(&mut self, nodes: impl IntoIterator<Item = Arc<str>>) {
        self.awaited_nodes = nodes.into_iter().collect();
    }

    /// The nodes that have not said yet who is there.
    #[must_use]
    pub fn awaited_nodes(&self) -> &HashSet<Arc<str>> {
        &self.awaited_nodes
    }

    /// Those who are on this node.
    pub fn local_users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.local.keys()
    }

    #[must_use]
    pub fn has_no_local_users(&self) -> bool {
        self.local.is_empty()
    }

    #[must_use]
    pub fn has_remote_users(&self) -> bool {
        !self.remote.is_empty()
    }

    /// Those who are here, on any node.
    #[must_use]
    pub fn online_users(&self) -> BTreeSet<&str> {
        let elsewhere = self.remote.values().flatten();
        self.local
            .keys()
            .chain(elsewhere)
            .map(|user| &**user)
            .collect()
    }

    /// How many are here, on any node.
    #[must_use]
    pub fn online_count(&self) -> usize {
        let elsewhere = self.remote.values().flatten();
        let elsewhere: HashSet<_> = elsewhere
            .filter(|user| !self.local.contains_key(*user))
            .collect();
        self.local.len() + elsewhere.len()
    }

    fn is_online(&self, user: &str) -> bool {
        self.local.contains_key(user) || self.remote.values().any(|users| users.contains(user))
    }

    fn is_online_except_on(&self, user: &str, node: &str) -> bool {
        let mut others = self.remote.iter().filter(|(other, _)| ***other != *node);
        self.local.contains_key(user) || others.any(|(_, users)| users.contains(user))
    }

    fn change_since(&self, user: &Arc<str>, was_online: bool) -> Option<PresenceChange> {
        let is_online = self.is_online(user);
        (is_online != was_online).then(|| PresenceChange {
            user: user.clone(),
            is_online,
        })
    }
}
