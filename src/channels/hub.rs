//! Who listens here to which group.
//!
//! A group has an entry as long as it has listeners on this node, and the node is subscribed to
//! the group's topic for just as long. Idle groups cost nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Member,
    broker::{Broker, Inbox, Subscribed, Unavailable},
    protocol::{self, Post},
};
use crate::settings::Settings;

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    groups: Mutex<HashMap<Arc<str>, Group>>,
    broker: Broker,
    settings: Arc<Settings>,
    next_id: AtomicU64,
}

struct Group {
    /// Never empty.
    listeners: Vec<Listener>,
    subscribed: Subscribed,
}

/// Tells listeners of one node apart.
pub(super) type ListenerId = u64;

struct Listener {
    id: ListenerId,
    username: Arc<str>,
    queue: mpsc::Sender<Utf8Bytes>,
}

/// A socket's place in a group. Dropping it leaves the group.
pub(super) struct Subscription {
    pub id: ListenerId,
    group: Arc<str>,
    hub: Arc<Hub>,
    /// Ends when the hub gave the listener up because its queue was full.
    pub frames: mpsc::Receiver<Utf8Bytes>,
}

impl Hub {
    pub fn start(broker: Broker, inbox: Inbox, settings: Arc<Settings>) -> Arc<Self> {
        let hub = Arc::new(Self {
            groups: Mutex::default(),
            broker,
            settings,
            next_id: AtomicU64::new(1),
        });
        tokio::spawn(hub.clone().listen(inbox));
        hub
    }

    /// Joins a group. When this returns, posts from other nodes arrive too, unless Redis is away
    /// or takes longer than 1 s to subscribe.
    pub async fn join(self: &Arc<Self>, member: &Member) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (queue, frames) = mpsc::channel(self.settings.channels.queue_limit);
        let listener = Listener {
            id,
            username: member.username.clone(),
            queue,
        };
        let subscribed = match self.groups().entry(member.group.clone()) {
            Entry::Occupied(mut group) => {
                group.get_mut().listeners.push(listener);
                group.get().subscribed.clone()
            }
            Entry::Vacant(vacant) => {
                let subscribed = self.broker.subscribe(vacant.key());
                vacant.insert(Group {
                    listeners: vec![listener],
                    subscribed: subscribed.clone(),
                });
                subscribed
            }
        };
        let subscription = Subscription {
            id,
            group: member.group.clone(),
            hub: self.clone(),
            frames,
        };
        subscribed.wait().await;
        subscription
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.broker.connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.groups().len()
    }

    pub fn listeners(&self) -> usize {
        self.groups()
            .values()
            .map(|group| group.listeners.len())
            .sum()
    }

    async fn listen(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((group, payload)) = inbox.recv().await {
            match Post::decode(&payload) {
                Some(post) => self.deliver(&group, &post, None),
                None => tracing::warn!(%group, "a payload came that no node of ours has sent"),
            }
        }
    }

    /// Tells all listeners of a group of a post, here and on the other nodes, except the one that
    /// sent it.
    pub fn announce(&self, group: &str, post: &Post, except: ListenerId) {
        self.deliver(group, post, Some(except));
        // Redis is the way to the other nodes; when it does not take a post, its link says so.
        drop(self.broker.publish(group, post.encode()));
    }

    /// Puts what listeners here are shown of a post into their queues.
    fn deliver(&self, group: &str, post: &Post, except: Option<ListenerId>) {
        let mut groups = self.groups();
        let Some(entry) = groups.get_mut(group) else {
            return;
        };
        let clock = self.settings.clock();
        let same_for_all = post.by.as_ref().map(|by| protocol::arrival(by, &clock));
        entry.listeners.retain(|listener| {
            if Some(listener.id) == except {
                return true;
            }
            let frame = same_for_all
                .clone()
                .unwrap_or_else(|| protocol::arrival(&listener.username, &clock));
            // Whoever does not keep up loses its place, and with it its socket, rather than a
            // frame in silence; nobody else waits for it.
            !matches!(listener.queue.try_send(frame), Err(TrySendError::Full(_)))
        });
        if entry.listeners.is_empty() {
            groups.remove(group);
            self.broker.unsubscribe(group);
        }
    }

    fn leave(&self, group: &Arc<str>, id: ListenerId) {
        let mut groups = self.groups();
        if let Entry::Occupied(mut entry) = groups.entry(group.clone()) {
            entry
                .get_mut()
                .listeners
                .retain(|listener| listener.id != id);
            if entry.get().listeners.is_empty() {
                entry.remove();
                self.broker.unsubscribe(group);
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Group>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.group, self.id);
    }
}
