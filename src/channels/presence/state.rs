//! The presence of one group on all nodes. No I/O.
//!
//! Each node knows its own users by their sockets, and the users of other nodes by the messages of those nodes. The
//! users of a node go offline when the node is no longer alive.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// A user who went online or offline, seen over all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    pub user: Arc<str>,
    pub is_online: bool,
}

/// The online users of a group.
#[derive(Debug, Default)]
pub struct Presence {
    local: HashMap<Arc<str>, LocalUser>,
    /// The users of other nodes, by node.
    remote: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Nodes that were queried and have not answered.
    awaited_nodes: HashSet<Arc<str>>,
}

/// A user on this node.
#[derive(Debug, Default)]
struct LocalUser {
    sockets: Vec<usize>,
    /// The time when the user's last socket closed. The user may reconnect soon: a reload of the page is not an
    /// absence.
    left_at: Option<Instant>,
}

impl Presence {
    /// Adds a socket of a user. Returns the change, if the user went online, and whether the user is new on this
    /// node, so that the other nodes need a message.
    pub fn add_socket(&mut self, user: &Arc<str>, socket: usize) -> (Option<PresenceChange>, bool) {
        let was_online = self.is_online(user);
        let is_new = !self.local.contains_key(user);
        let local = self.local.entry(user.clone()).or_default();
        local.sockets.push(socket);
        local.left_at = None;
        (self.change_since(user, was_online), is_new)
    }

    /// Removes a socket of a user. Returns `true` if it was the user's last socket on this node.
    pub fn remove_socket(&mut self, user: &str, socket: usize, now: Instant) -> bool {
        let Some(local) = self.local.get_mut(user) else {
            return false;
        };
        let before = local.sockets.len();
        local.sockets.retain(|other| *other != socket);
        let is_last = local.sockets.is_empty() && before > 0;
        if is_last {
            local.left_at = Some(now);
        }
        is_last
    }

    /// Removes a user from this node whose last socket closed at `left_at`, and who has not reconnected. Returns
    /// `None` if the user has reconnected, else the change, if the user went offline.
    pub fn expire_user(
        &mut self,
        user: &Arc<str>,
        left_at: Instant,
    ) -> Option<Option<PresenceChange>> {
        if self.local.get(user)?.left_at != Some(left_at) {
            return None;
        }
        self.remove_user(user)
    }

    /// Removes a user from this node, even if the user has sockets. Returns `None` if the user was not on this node,
    /// else the change, if the user went offline.
    pub fn remove_user(&mut self, user: &Arc<str>) -> Option<Option<PresenceChange>> {
        self.local.remove(user)?;
        Some(self.change_since(user, true))
    }

    /// Replaces the users of another node. Returns the changes.
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
        let added = users.difference(&before).map(|user| (user, true));
        let removed = before.difference(&users).map(|user| (user, false));
        added
            .chain(removed)
            // The state of a user who is online by another node as well does not change.
            .filter(|(user, _)| !self.is_online_except_on(user, node))
            .map(|(user, is_online)| PresenceChange {
                user: user.clone(),
                is_online,
            })
            .collect()
    }

    /// Adds a user of another node. Returns the change, if the user went online.
    pub fn set_online(&mut self, node: &Arc<str>, user: &Arc<str>) -> Option<PresenceChange> {
        let was_online = self.is_online(user);
        let users = self.remote.entry(node.clone()).or_default();
        users.insert(user.clone());
        self.change_since(user, was_online)
    }

    /// Removes a user of another node. Returns the change, if the user went offline.
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

    /// Removes a node with all its users. Returns the changes.
    pub fn remove_node(&mut self, node: &Arc<str>) -> Vec<PresenceChange> {
        self.apply_snapshot(node, HashSet::new())
    }

    /// Sets the nodes whose answers are awaited.
    pub fn set_awaited_nodes(&mut self, nodes: impl IntoIterator<Item = Arc<str>>) {
        self.awaited_nodes = nodes.into_iter().collect();
    }

    /// The nodes that have not answered.
    #[must_use]
    pub fn awaited_nodes(&self) -> &HashSet<Arc<str>> {
        &self.awaited_nodes
    }

    /// The users on this node.
    pub fn local_users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.local.keys()
    }

    /// Returns `true` if no user is on this node.
    #[must_use]
    pub fn has_no_local_users(&self) -> bool {
        self.local.is_empty()
    }

    /// Returns `true` if a user is on another node.
    #[must_use]
    pub fn has_remote_users(&self) -> bool {
        !self.remote.is_empty()
    }

    /// The online users of all nodes.
    #[must_use]
    pub fn online_users(&self) -> BTreeSet<&str> {
        let remote = self.remote.values().flatten();
        self.local
            .keys()
            .chain(remote)
            .map(|user| &**user)
            .collect()
    }

    /// The number of online users of all nodes.
    #[must_use]
    pub fn online_count(&self) -> usize {
        let remote = self.remote.values().flatten();
        let only_remote: HashSet<_> = remote
            .filter(|user| !self.local.contains_key(*user))
            .collect();
        self.local.len() + only_remote.len()
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
