//! The exchange of presence between nodes, and its broadcast to sockets.
//!
//! Each node holds a lease for its users, which it renews by a heartbeat. When the lease of a node expires, each
//! other node sets the users of that node offline by itself. So a killed node leaves nothing to clean up, and Redis
//! stores nothing.
//!
//! A node publishes who goes online and offline in each of its groups. It publishes a snapshot of all its users of a
//! group when another node requests it, after Redis was unreachable, and from time to time. Messages about one
//! group, to nodes and to sockets, are sent under the lock of the group's presence, so that they are sent in the
//! order of the changes.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout_at},
};
use uuid::Uuid;

use super::{
    Presence, PresenceChange,
    cluster::{Cluster, ExpiredNode},
};
use crate::{
    channels::{
        broker::{Broker, BrokerUnavailable, next_reconnect},
        delivery::{Room, Rooms, Subscriber},
        protocol::{
            ephemeral::{EncodedEphemeral, EphemeralEvent, PresenceState},
            node_message::{CLUSTER_TOPIC, NodeMessage},
        },
    },
    metrics::METRICS,
    node::NodeName,
    settings::Settings,
};

/// Heartbeats in the time of one lease.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// The interval of checks for users and nodes that have gone offline.
const PRESENCE_TICK: Duration = Duration::from_millis(250);

/// The shortest time between two broadcasts of the number of online users of a large group.
const ONLINE_COUNT_EVERY: Duration = Duration::from_secs(1);

/// The time between two snapshots, for the case that a message was lost.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);

/// The time that a socket waits for the answers of other nodes before it opens without them.
const PRESENCE_QUERY_TIMEOUT: Duration = Duration::from_millis(250);

/// Groups in one query, and snapshots until the node waits for Redis to take them: events must not find the queue to
/// Redis full.
const MAX_GROUPS_PER_QUERY: usize = 256;

/// Users that go offline in one tick, at most.
const MAX_OFFLINE_PER_TICK: usize = 500;

/// The presence of this node's users, for the other nodes and for sockets.
pub(in crate::channels) struct PresenceSync {
    rooms: Arc<Rooms>,
    broker: Arc<Broker>,
    cluster: Cluster,
    /// The id of this node among the nodes.
    node_id: Box<str>,
    /// The name of this node, for the logs of the other nodes.
    node_name: NodeName,
    /// `true` if this node has announced its stop.
    has_left: AtomicBool,
    /// Users whose last socket here has closed, in the order of time.
    pending_offline: Mutex<VecDeque<PendingOffline>>,
    /// Groups of which other nodes have requested a snapshot.
    queries: mpsc::UnboundedSender<Vec<String>>,
    /// The time that a user has to reconnect before the user goes offline.
    grace: Duration,
}

/// The groups of which other nodes have requested a snapshot, for [`PresenceSync::run`].
pub(in crate::channels) struct PresenceQueries(mpsc::UnboundedReceiver<Vec<String>>);

/// A user whose last socket in a room has closed.
struct PendingOffline {
    left_at: Instant,
    room: Arc<Room>,
    user: Arc<str>,
}

/// A job that is due at regular times.
struct Schedule {
    every: Duration,
    next_at: Instant,
}

impl Schedule {
    fn every(every: Duration) -> Self {
        Self {
            every,
            next_at: Instant::now(),
        }
    }

    fn take_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.next_at <= now;
        if is_due {
            self.next_at = now + self.every;
        }
        is_due
    }
}

impl PresenceSync {
    /// The presence of a node that has no users yet.
    pub fn new(
        rooms: Arc<Rooms>,
        broker: Arc<Broker>,
        settings: &Settings,
    ) -> (Self, PresenceQueries) {
        let (queries, received) = mpsc::unbounded_channel();
        let channels = &settings.channels;
        let sync = Self {
            rooms,
            broker,
            cluster: Cluster::new(Duration::from_secs(channels.presence_lease.into())),
            node_id: Uuid::new_v4().simple().to_string().into(),
            node_name: settings.node_name.clone(),
            has_left: AtomicBool::new(false),
            pending_offline: Mutex::default(),
            queries,
            grace: Duration::from_secs(channels.presence_grace.into()),
        };
        (sync, PresenceQueries(received))
    }

    /// The id of this node among the nodes.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The number of other nodes that are alive.
    pub fn peer_count(&self) -> usize {
        self.cluster.alive_count()
    }

    /// Renews this node's lease, expires users and other nodes, and answers queries.
    pub async fn run(self: Arc<Self>, mut queries: PresenceQueries) {
        let mut heartbeat = Schedule::every(self.cluster.lease() / HEARTBEATS_PER_LEASE);
        let mut online_count = Schedule::every(ONLINE_COUNT_EVERY);
        let mut snapshot = Schedule::every(SNAPSHOT_EVERY);
        let mut tick = interval(PRESENCE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reconnects = self.broker.reconnects();
        loop {
            select! {
                _ = tick.tick() => {}
                () = next_reconnect(&mut reconnects) => self.publish_and_query_all().await,
                Some(groups) = queries.0.recv() => self.publish_snapshots(groups).await,
            }
            if heartbeat.take_due() && !self.has_left.load(Ordering::Relaxed) {
                let (node, name) = (self.node_id().into(), Some(self.node_name.as_str().into()));
                drop(self.publish(CLUSTER_TOPIC, &NodeMessage::Heartbeat { node, name }));
            }
            for node in self.cluster.take_expired() {
                self.on_node_expired(&node);
            }
            self.expire_pending_offline();
            if online_count.take_due() {
                for room in self.rooms.all() {
                    Self::broadcast_online_count(&room);
                }
            }
            if snapshot.take_due() {
                // A group without users on other nodes needs no snapshot.
                let mut groups = Vec::new();
                for room in self.rooms.all() {
                    if room.presence.state().has_remote_users() {
                        groups.push(room.name.to_string());
                    }
                }
                self.publish_snapshots(groups).await;
            }
        }
    }

    /// Announces that this node stops: its users reconnect to other nodes, or go offline.
    pub async fn announce_leaving(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        let (node, name) = (self.node_id().into(), Some(self.node_name.as_str().into()));
        // If Redis is unreachable, the lease expires instead.
        let _ = self
            .publish(CLUSTER_TOPIC, &NodeMessage::NodeLeaving { node, name })
            .await;
    }

    /// Applies a message of another node about presence, on the topic of a group or of all nodes. Ignores all other
    /// messages.
    pub fn on_message(&self, topic: &str, message: &NodeMessage<'_>) {
        let (NodeMessage::Heartbeat { node, .. }
        | NodeMessage::NodeLeaving { node, .. }
        | NodeMessage::PresenceQuery { node, .. }
        | NodeMessage::PresenceSnapshot { node, .. }
        | NodeMessage::UserOnline { node, .. }
        | NodeMessage::UserOffline { node, .. }) = message
        else {
            return;
        };
        let node: Arc<str> = node.as_ref().into();
        let is_new = self.cluster.mark_seen(&node);
        match message {
            NodeMessage::Heartbeat {
                name: Some(name), ..
            } if self.cluster.set_name(&node, name) => {
                tracing::info!(node = &**name, "node joined");
            }
            NodeMessage::NodeLeaving { name, .. } => {
                self.cluster.mark_left(&node, self.grace);
                let node = name.as_deref().unwrap_or(&node);
                tracing::info!(node, "node left: its users move to other nodes");
            }
            NodeMessage::PresenceQuery {
                recipient, groups, ..
            } => self.on_query(recipient.as_deref(), groups),
            NodeMessage::PresenceSnapshot { users, .. } => {
                let users = users.iter().map(|user| user.as_ref().into()).collect();
                self.update_presence(topic, |presence| presence.apply_snapshot(&node, users));
            }
            NodeMessage::UserOnline { user, .. } => {
                let user = user.as_ref().into();
                self.update_presence(topic, |presence| presence.set_online(&node, &user));
            }
            NodeMessage::UserOffline { user, .. } => {
                let user = user.as_ref().into();
                self.update_presence(topic, |presence| presence.set_offline(&node, &user));
            }
            _ => {}
        }
        if is_new {
            // The node may have been unreachable for so long that its users were set offline.
            self.publish_query(Some(&node), &self.rooms.names());
        }
    }

    fn on_query(&self, recipient: Option<&str>, groups: &[Cow<'_, str>]) {
        if recipient.is_some_and(|recipient| *recipient != *self.node_id) {
            return;
        }
        let groups = groups
            .iter()
            .filter(|group| recipient.is_none() || self.rooms.get(group).is_some())
            .map(|group| group.to_string());
        // The receiver runs as long as the process.
        let _ = self.queries.send(groups.collect());
    }

    /// Applies that a socket has subscribed to a group.
    pub fn on_socket_joined(&self, room: &Room, subscriber: &Subscriber) {
        let mut state = room.presence.state();
        let user = subscriber.username();
        let (change, is_new) = state.add_socket(user, subscriber.id());
        // The snapshot of a room that has just opened follows, with all its users.
        if is_new && room.presence.is_queried() {
            let (node, user) = (self.node_id().into(), user.as_ref().into());
            drop(self.publish(&room.name, &NodeMessage::UserOnline { node, user }));
        }
        Self::broadcast_changes(room, change);
    }

    /// Applies that a subscription has ended. Its user stays online for the grace period.
    pub fn on_socket_left(&self, room: &Arc<Room>, subscriber: &Subscriber) {
        let (user, now) = (subscriber.username(), Instant::now());
        let is_last = room
            .presence
            .state()
            .remove_socket(user, subscriber.id(), now);
        if is_last {
            self.pending_offline().push_back(PendingOffline {
                left_at: now,
                room: room.clone(),
                user: user.clone(),
            });
        }
    }

    /// Applies that a user was removed from a group.
    pub fn on_member_removed(&self, room: &Room, user: &Arc<str>) {
        let mut state = room.presence.state();
        if let Some(change) = state.remove_user(user) {
            self.publish_offline(room, user);
            Self::broadcast_changes(room, change);
        }
    }

    /// Requests the presence of the other nodes in a room that has just opened. Returns `false`, and does nothing,
    /// if the presence was requested before.
    pub fn query_room_once(&self, room: &Room) -> bool {
        let mut state = room.presence.state();
        // One lock covers the mark and the awaited nodes. Otherwise a message between the two steps would find a query
        // without awaited nodes, and count the presence as complete.
        if !room.presence.mark_queried() {
            return false;
        }
        state.set_awaited_nodes(self.cluster.responsive());
        room.presence.notify_if_complete(&state);
        drop(state);
        // The other nodes may remember other users of this node.
        drop(self.publish_snapshot(&room.name));
        self.publish_query(None, &[room.name.to_string()]);
        true
    }

    /// Waits until the presence in a room is complete, for a short time and not beyond `deadline`.
    pub async fn wait_complete(&self, room: &Room, deadline: tokio::time::Instant) {
        if self.broker.is_disconnected() {
            return;
        }
        let query_end = tokio::time::Instant::now() + PRESENCE_QUERY_TIMEOUT;
        let end = query_end.min(deadline);
        let is_complete = timeout_at(end, room.presence.wait_complete()).await.is_ok();
        if !is_complete && end == query_end {
            let mut state = room.presence.state();
            self.cluster.mark_unresponsive(state.awaited_nodes());
            // No socket waits for these nodes again.
            state.set_awaited_nodes([]);
            room.presence.notify_if_complete(&state);
        }
    }

    /// Publishes snapshots of all groups, and requests those of the other nodes.
    async fn publish_and_query_all(&self) {
        let groups = self.rooms.names();
        self.publish_query(None, &groups);
        self.publish_snapshots(groups).await;
    }

    async fn publish_snapshots(&self, groups: Vec<String>) {
        for (i, group) in (1..).zip(&groups) {
            let published = self.publish_snapshot(group);
            if i % MAX_GROUPS_PER_QUERY == 0 {
                // If Redis is unreachable, the snapshots follow after it is back.
                let _ = published.await;
            }
        }
    }

    fn publish_query(&self, recipient: Option<&str>, groups: &[String]) {
        for groups in groups.chunks(MAX_GROUPS_PER_QUERY) {
            let query = NodeMessage::PresenceQuery {
                node: self.node_id().into(),
                recipient: recipient.map(Into::into),
                groups: groups.iter().map(|group| group.as_str().into()).collect(),
            };
            drop(self.publish(CLUSTER_TOPIC, &query));
        }
    }

    fn publish_snapshot(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        let room = self.rooms.get(group);
        let state = room.as_ref().map(|room| room.presence.state());
        let local = state.iter().flat_map(|state| state.local_users());
        let users = local.map(|user| user.to_string().into()).collect();
        let node = self.node_id().into();
        // The lock of the state is still held.
        self.publish(group, &NodeMessage::PresenceSnapshot { node, users })
    }

    fn publish_offline(&self, room: &Room, user: &str) {
        let (node, user) = (self.node_id().into(), user.into());
        drop(self.publish(&room.name, &NodeMessage::UserOffline { node, user }));
    }

    fn publish(
        &self,
        topic: &str,
        message: &NodeMessage<'_>,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        self.broker.publish(topic, message.encode())
    }

    /// Sets the users of a node offline. After an announced stop, the other users have moved to other nodes.
    fn on_node_expired(&self, expired: &ExpiredNode) {
        let node = &expired.id;
        if !expired.has_left {
            METRICS.presence_leases_expired.inc();
            tracing::warn!(node = expired.name, "node lost: its users go offline");
        }
        for room in self.rooms.all() {
            let mut state = room.presence.state();
            let changes = state.remove_node(node);
            Self::broadcast_changes(&room, changes);
            room.presence.notify_if_complete(&state);
        }
        if self.cluster.contains(node) {
            // A message of the node arrived in the meantime, perhaps a snapshot that was just removed.
            self.publish_query(Some(node), &self.rooms.names());
        }
    }

    /// Sets users offline whose grace period has passed.
    fn expire_pending_offline(&self) {
        let now = Instant::now();
        let is_due = |pending: &mut PendingOffline| pending.left_at + self.grace <= now;
        let mut expired = 0;
        while expired < MAX_OFFLINE_PER_TICK {
            let due = self.pending_offline().pop_front_if(is_due);
            let Some(PendingOffline {
                left_at,
                room,
                user,
            }) = due
            else {
                return;
            };
            let is_open = self.rooms.is_open(&room);
            let mut state = room.presence.state();
            if let Some(change) = state.expire_user(&user, left_at)
                && is_open
            {
                self.publish_offline(&room, &user);
                Self::broadcast_changes(&room, change);
                expired += 1;
            }
            drop(state);
            self.rooms.close_if_empty(&room);
        }
    }

    /// Applies a message of another node about a group, and notifies the sockets before the next message applies.
    fn update_presence<C>(&self, group: &str, change: impl FnOnce(&mut Presence) -> C)
    where
        C: IntoIterator<Item = PresenceChange>,
    {
        if let Some(room) = self.rooms.get(group) {
            let mut state = room.presence.state();
            let changes = change(&mut state);
            Self::broadcast_changes(&room, changes);
            room.presence.notify_if_complete(&state);
        }
    }

    /// Sends changes to the sockets of a room. The sockets of a large group receive the number of online users
    /// later instead. The caller holds the lock of the state.
    fn broadcast_changes(room: &Room, changes: impl IntoIterator<Item = PresenceChange>) {
        for change in changes {
            if room.member_count.is_large() {
                room.presence.mark_count_due();
                continue;
            }
            let state = if change.is_online {
                PresenceState::Online
            } else {
                PresenceState::Offline
            };
            let event = EphemeralEvent::Presence {
                group: room.name.as_ref().into(),
                user: Some(change.user.as_ref().into()),
                state: Some(state),
                count: None,
            };
            room.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(&event)));
        }
    }

    /// Sends the number of online users to the sockets of a large group, if it has changed.
    fn broadcast_online_count(room: &Room) {
        if let Some(count) = room.presence.take_due_count() {
            let event = EphemeralEvent::Presence {
                group: room.name.as_ref().into(),
                user: None,
                state: None,
                count: Some(count),
            };
            room.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(&event)));
        }
    }

    fn pending_offline(&self) -> MutexGuard<'_, VecDeque<PendingOffline>> {
        // A panic elsewhere leaves the queue as it was between two calls of its own methods.
        self.pending_offline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
