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
pub struct Change {
    pub user: Arc<str>,
    pub is_online: bool,
}

#[derive(Debug, Default)]
pub struct Presence {
    here: HashMap<Arc<str>, Here>,
    /// By node.
    elsewhere: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Nodes that were asked who is here and have not said it yet.
    awaited: HashSet<Arc<str>>,
}

/// A user on this node.
#[derive(Debug, Default)]
struct Here {
    sockets: Vec<usize>,
    /// When the last socket went. The user may be about to come back: a page that is loaded again
    /// is no absence.
    gone: Option<Instant>,
}

impl Presence {
    /// A socket of a user comes. Gives the change, if it is one; and whether other nodes must hear
    /// that the user is on this one.
    pub fn enter(&mut self, user: &Arc<str>, socket: usize) -> (Option<Change>, bool) {
        let was_online = self.is_online(user);
        let is_new = !self.here.contains_key(user);
        let here = self.here.entry(user.clone()).or_default();
        here.sockets.push(socket);
        here.gone = None;
        (self.change(user, was_online), is_new)
    }

    /// A socket goes. Says whether it was the user's last on this node.
    pub fn leave(&mut self, user: &str, socket: usize, now: Instant) -> bool {
        let Some(here) = self.here.get_mut(user) else {
            return false;
        };
        let before = here.sockets.len();
        here.sockets.retain(|other| *other != socket);
        let is_last = here.sockets.is_empty() && before > 0;
        if is_last {
            here.gone = Some(now);
        }
        is_last
    }

    /// A user who has gone at this time, and has not come back, is not on this node any more.
    /// `None` where that is not so.
    pub fn expire(&mut self, user: &Arc<str>, gone: Instant) -> Option<Option<Change>> {
        if self.here.get(user)?.gone != Some(gone) {
            return None;
        }
        self.forget(user)
    }

    /// A user is not on this node any more, whatever sockets there are. `None` where there was none.
    pub fn forget(&mut self, user: &Arc<str>) -> Option<Option<Change>> {
        self.here.remove(user)?;
        Some(self.change(user, true))
    }

    /// Another node says who is there, all of them.
    pub fn hear(&mut self, node: &Arc<str>, users: HashSet<Arc<str>>) -> Vec<Change> {
        self.awaited.remove(node);
        let before = if users.is_empty() {
            self.elsewhere.remove(node).unwrap_or_default()
        } else {
            let before = self.elsewhere.insert(node.clone(), users.clone());
            before.unwrap_or_default()
        };
        let came = users.difference(&before).map(|user| (user, true));
        let went = before.difference(&users).map(|user| (user, false));
        came.chain(went)
            // Who is here by another node as well has neither come nor gone.
            .filter(|(user, _)| !self.is_online_without(user, node))
            .map(|(user, is_online)| Change {
                user: user.clone(),
                is_online,
            })
            .collect()
    }

    /// Another node says that a user is there now.
    pub fn hear_of(&mut self, node: &Arc<str>, user: &Arc<str>) -> Option<Change> {
        let was_online = self.is_online(user);
        let users = self.elsewhere.entry(node.clone()).or_default();
        users.insert(user.clone());
        self.change(user, was_online)
    }

    /// Another node says that a user is not there any more.
    pub fn hear_no_more_of(&mut self, node: &Arc<str>, user: &Arc<str>) -> Option<Change> {
        let was_online = self.is_online(user);
        if let Some(users) = self.elsewhere.get_mut(node) {
            users.remove(user);
            if users.is_empty() {
                self.elsewhere.remove(node);
            }
        }
        self.change(user, was_online)
    }

    /// A node has gone, with all its people.
    pub fn lose(&mut self, node: &Arc<str>) -> Vec<Change> {
        self.hear(node, HashSet::new())
    }

    /// These nodes are to say who is there.
    pub fn await_all(&mut self, nodes: impl IntoIterator<Item = Arc<str>>) {
        self.awaited = nodes.into_iter().collect();
    }

    /// The nodes that have not said yet who is there.
    #[must_use]
    pub fn awaited(&self) -> &HashSet<Arc<str>> {
        &self.awaited
    }

    /// Those who are on this node.
    pub fn here(&self) -> impl Iterator<Item = &Arc<str>> {
        self.here.keys()
    }

    #[must_use]
    pub fn is_nobody_here(&self) -> bool {
        self.here.is_empty()
    }

    #[must_use]
    pub fn is_anybody_elsewhere(&self) -> bool {
        !self.elsewhere.is_empty()
    }

    /// Those who are here, on any node.
    #[must_use]
    pub fn online(&self) -> BTreeSet<&str> {
        let elsewhere = self.elsewhere.values().flatten();
        self.here
            .keys()
            .chain(elsewhere)
            .map(|user| &**user)
            .collect()
    }

    /// How many are here, on any node.
    #[must_use]
    pub fn count(&self) -> usize {
        let elsewhere = self.elsewhere.values().flatten();
        let elsewhere: HashSet<_> = elsewhere
            .filter(|user| !self.here.contains_key(*user))
            .collect();
        self.here.len() + elsewhere.len()
    }

    fn is_online(&self, user: &str) -> bool {
        self.here.contains_key(user) || self.elsewhere.values().any(|users| users.contains(user))
    }

    fn is_online_without(&self, user: &str, node: &str) -> bool {
        let mut others = self.elsewhere.iter().filter(|(other, _)| ***other != *node);
        self.here.contains_key(user) || others.any(|(_, users)| users.contains(user))
    }

    fn change(&self, user: &Arc<str>, was_online: bool) -> Option<Change> {
        let is_online = self.is_online(user);
        (is_online != was_online).then(|| Change {
            user: user.clone(),
            is_online,
        })
    }
}
