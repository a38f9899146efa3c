//! Who listens here to which group, and in which order they hear.
//!
//! A group has an entry as long as it has listeners on this node, and the node is subscribed to
//! the group's topic for just as long. Idle groups cost nothing.
//!
//! The broker is fast and may lose; the log has everything: see [`healing`].

mod healing;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use sea_orm::DatabaseConnection;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Member,
    broker::{Broker, Inbox, Subscribed, Unavailable},
    order::Order,
    protocol::{self, Post},
};
use crate::settings::Settings;

/// A database that does not answer within this is as good as away.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    groups: Mutex<HashMap<Arc<str>, Group>>,
    /// Held while events are stored and announced, and while the log is read: who reads the log
    /// must not find an event whose sender the hub has not been told of yet.
    pub storing: tokio::sync::Mutex<()>,
    /// Groups in which an event is missing.
    gaps: mpsc::UnboundedSender<Arc<str>>,
    broker: Broker,
    db: DatabaseConnection,
    settings: Arc<Settings>,
    next_id: AtomicU64,
}

struct Group {
    id: i64,
    /// Never empty.
    listeners: Vec<Listener>,
    order: Order<Arrival>,
    /// Whether the healer has been told, so that it is told once.
    gap_reported: bool,
    subscribed: Subscribed,
}

/// A post on its way to the listeners.
struct Arrival {
    post: Post,
    /// The listener that sent it, if it is one of this node.
    sender: Option<ListenerId>,
}

/// Tells listeners of one node apart.
pub(super) type ListenerId = u64;

struct Listener {
    id: ListenerId,
    username: Arc<str>,
    /// What was stored before it came is not told to it.
    after: i64,
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
    pub fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        let (gaps, gapped) = mpsc::unbounded_channel();
        let hub = Arc::new(Self {
            groups: Mutex::default(),
            storing: tokio::sync::Mutex::default(),
            gaps,
            broker,
            db,
            settings,
            next_id: AtomicU64::new(1),
        });
        tokio::spawn(hub.clone().listen(inbox));
        tokio::spawn(hub.clone().heal_gaps(gapped));
        tokio::spawn(hub.clone().sweep_by_the_clock());
        hub
    }

    /// Joins a group. What is stored from now on arrives, from this node and from others, and
    /// nothing that was stored before the moment of [`Member::head`].
    pub async fn join(self: &Arc<Self>, member: &Member) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (queue, frames) = mpsc::channel(self.settings.channels.queue_limit);
        let listener = Listener {
            id,
            username: member.username.clone(),
            after: member.head,
            queue,
        };
        let (subscribed, is_first) = match self.groups().entry(member.group.clone()) {
            Entry::Occupied(mut group) => {
                group.get_mut().listeners.push(listener);
                (group.get().subscribed.clone(), false)
            }
            Entry::Vacant(vacant) => {
                let subscribed = self.broker.subscribe(vacant.key());
                vacant.insert(Group {
                    id: member.group_id,
                    listeners: vec![listener],
                    order: Order::after(member.head),
                    gap_reported: false,
                    subscribed: subscribed.clone(),
                });
                (subscribed, true)
            }
        };
        let subscription = Subscription {
            id,
            group: member.group.clone(),
            hub: self.clone(),
            frames,
        };
        subscribed.wait().await;
        if is_first {
            // What was stored between the look at the head and the subscription.
            if let Some(group) = self.groups().get_mut(&member.group) {
                self.report_gap(&member.group, group);
            }
        }
        subscription
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.broker.connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.groups().len()
    }

    pub fn last_told(&self, group: &str) -> Option<i64> {
        self.groups().get(group).map(|group| group.order.last())
    }

    pub fn listeners(&self) -> usize {
        self.groups()
            .values()
            .map(|group| group.listeners.len())
            .sum()
    }

    /// Tells all listeners of a group of a post, here and on the other nodes, except the one that
    /// sent it.
    pub fn announce(&self, group: &Arc<str>, post: Post, sender: ListenerId) {
        // Redis is the fast way to the other nodes. When it does not take a post, they find it in
        // the log: at the next gap or sweep.
        drop(self.broker.publish(group, post.encode()));
        self.arrive(
            group,
            Arrival {
                post,
                sender: Some(sender),
            },
        );
    }

    async fn listen(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((group, payload)) = inbox.recv().await {
            match Post::decode(&payload) {
                Some(post) => self.arrive(&group.into(), Arrival { post, sender: None }),
                None => tracing::warn!(%group, "a payload came that no node of ours has sent"),
            }
        }
    }

    /// Takes a post into the group's order, and tells the listeners here what is due.
    fn arrive(&self, name: &Arc<str>, arrival: Arrival) {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(name) else {
            return;
        };
        let seq = arrival.post.seq;
        let due = match arrival.sender {
            Some(_) => group.order.arrive_from_here(seq, arrival),
            None => group.order.arrive(seq, arrival),
        };
        let clock = self.settings.clock();
        for arrival in due {
            group.tell(&arrival, &clock);
        }
        if group.order.is_gapped() {
            self.report_gap(name, group);
        }
        if group.listeners.is_empty() {
            groups.remove(name);
            self.broker.unsubscribe(name);
        }
    }

    fn report_gap(&self, name: &Arc<str>, group: &mut Group) {
        if !group.gap_reported {
            group.gap_reported = true;
            // The healer ends with the process.
            let _ = self.gaps.send(name.clone());
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

impl Group {
    /// Puts what each listener is shown of a post into its queue.
    fn tell(&mut self, arrival: &Arrival, clock: &str) {
        if !arrival.post.is_message {
            return;
        }
        let by = arrival.post.by.as_ref();
        let same_for_all = by.map(|by| protocol::arrival(by, clock));
        self.listeners.retain(|listener| {
            if Some(listener.id) == arrival.sender || arrival.post.seq <= listener.after {
                return true;
            }
            let frame = same_for_all
                .clone()
                .unwrap_or_else(|| protocol::arrival(&listener.username, clock));
            // Whoever does not keep up loses its place, and with it its socket, rather than a
            // frame in silence; nobody else waits for it.
            !matches!(listener.queue.try_send(frame), Err(TrySendError::Full(_)))
        });
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.group, self.id);
    }
}
