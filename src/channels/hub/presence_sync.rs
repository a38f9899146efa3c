//! Who is here, told from node to node and to the sockets.
//!
//! Each node has a lease of its people, which it renews by a word to all nodes; when it ends, all
//! nodes take them for gone, each by itself. So there is nothing to clean up after a node that was
//! killed, and nothing to keep in Redis.
//!
//! In each group every node says who comes and goes there, and all it has when it is asked, when it
//! has been out of reach, and from time to time. What is said of one group, to nodes and to sockets,
//! is said under the lock of its presence, so that it is heard in the order in which it happened.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout_at},
};

use super::{Hub, gap_repair::next_reconnect, room::Room, subscriber::Subscriber};
use crate::channels::{
    broker::BrokerUnavailable,
    presence::{Presence, PresenceChange},
    protocol::node_message::{CLUSTER_TOPIC, NodeMessage},
};

/// A lease is renewed so many times before it ends.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// How often it is looked who is gone for good.
const PRESENCE_TICK: Duration = Duration::from_millis(250);

/// How often the sockets of a large group are told how many are here, at most.
const ONLINE_COUNT_EVERY: Duration = Duration::from_secs(1);

/// How often a node says all it has, lest a word that was lost be missed for ever.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);

/// How long a socket waits to hear who is on other nodes before it opens without.
const PRESENCE_QUERY_TIMEOUT: Duration = Duration::from_millis(250);

/// Groups of which this is said, or asked, before it is waited for Redis to take it: events must not
/// find its queue full.
const MAX_GROUPS_PER_QUERY: usize = 256;

/// People of whom it is said in one tick that they are gone.
const MAX_OFFLINE_PER_TICK: usize = 500;

/// A user whose last socket here has gone.
pub(super) struct PendingOffline {
    left_at: Instant,
    room: Arc<Room>,
    user: Arc<str>,
}

/// When something is to be done next.
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
        let is_now = self.next_at <= now;
        if is_now {
            self.next_at = now + self.every;
        }
        is_now
    }
}

impl Hub {
    /// Renews the lease of this node's people, looks whose has ended, and answers the other nodes.
    pub(super) async fn run_presence(
        self: Arc<Self>,
        mut asked: mpsc::UnboundedReceiver<Vec<String>>,
    ) {
        let lease = Duration::from_secs(self.settings.channels.presence_lease.into());
        let mut renewal = Schedule::every(lease / HEARTBEATS_PER_LEASE);
        let mut count = Schedule::every(ONLINE_COUNT_EVERY);
        let mut repetition = Schedule::every(SNAPSHOT_EVERY);
        let mut tick = interval(PRESENCE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions = self.broker.reconnects();
        loop {
            select! {
                _ = tick.tick() => {}
                () = next_reconnect(&mut sessions) => self.publish_and_query_all().await,
                Some(groups) = asked.recv() => self.publish_snapshots(groups).await,
            }
            if renewal.take_due() && !self.has_left.load(Ordering::Relaxed) {
                drop(self.publish_node_message(
                    CLUSTER_TOPIC,
                    &NodeMessage::Pulse {
                        node: self.node_id(),
                    },
                ));
            }
            for node in self.nodes.take_expired() {
                self.on_node_lost(&node);
            }
            self.expire_pending_offline();
            self.expire_typing();
            if count.take_due() {
                self.all_rooms()
                    .iter()
                    .for_each(|room| room.broadcast_online_count());
            }
            if repetition.take_due() {
                // Alone in its group a node has nobody to tell.
                let rooms = self.all_rooms();
                let shared = rooms
                    .iter()
                    .filter(|room| room.presence().has_remote_users());
                self.publish_snapshots(shared.map(|room| room.name.to_string()).collect())
                    .await;
            }
        }
    }

    /// Says goodbye: this node's people are somewhere else now, or gone.
    pub async fn announce_leaving(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        let word = NodeMessage::Part {
            node: self.node_id(),
        };
        // In vain where Redis is away; the lease ends by itself.
        let _ = self.broker.publish(CLUSTER_TOPIC, word.encode()).await;
    }

    /// What is said between nodes about who is here, on the topic of a group or that of all nodes.
    pub(super) fn on_presence_message(&self, topic: &str, word: &NodeMessage<'_>) {
        let (NodeMessage::Pulse { node }
        | NodeMessage::Part { node }
        | NodeMessage::Who { node, .. }
        | NodeMessage::Here { node, .. }
        | NodeMessage::Came { node, .. }
        | NodeMessage::Went { node, .. }) = word
        else {
            return;
        };
        let node: Arc<str> = node.as_ref().into();
        let is_new = self.nodes.mark_seen(&node);
        match word {
            NodeMessage::Part { .. } => self.nodes.mark_left(&node, self.presence_grace()),
            NodeMessage::Who { of, groups, .. } => self.on_presence_query(of.as_deref(), groups),
            NodeMessage::Here { users, .. } => {
                let users = users.iter().map(|user| user.as_ref().into()).collect();
                self.update_presence(topic, |presence| presence.apply_snapshot(&node, users));
            }
            NodeMessage::Came { user, .. } => {
                let user = user.as_ref().into();
                self.update_presence(topic, |presence| presence.set_online(&node, &user));
            }
            NodeMessage::Went { user, .. } => {
                let user = user.as_ref().into();
                self.update_presence(topic, |presence| presence.set_offline(&node, &user));
            }
            _ => {}
        }
        if is_new {
            // It may have been away for long, and was taken for gone.
            self.publish_presence_query(Some(&node), &self.active_group_names());
        }
    }

    fn on_presence_query(&self, of: Option<&str>, groups: &[Cow<'_, str>]) {
        if of.is_some_and(|of| *of != *self.node_id) {
            return;
        }
        let groups = groups
            .iter()
            .filter(|group| of.is_none() || self.room(group).is_some())
            .map(|group| group.to_string());
        // Whoever answers ends with the process.
        let _ = self.presence_queries.send(groups.collect());
    }

    /// A socket is in a group now.
    pub(super) fn on_socket_joined(&self, room: &Arc<Room>, listener: &Subscriber) {
        let mut presence = room.presence();
        let user = listener.username();
        let (change, is_new) = presence.add_socket(user, listener.id());
        // Of a room that is just opened it is said in a moment, of all at once.
        if is_new && room.is_presence_queried() {
            let (node, user) = (self.node_id(), user.as_ref().into());
            drop(self.publish_node_message(&room.name, &NodeMessage::Came { node, user }));
        }
        room.broadcast_presence_changes(change);
    }

    /// A socket is not in a group any more; its user may be for a while.
    pub(super) fn on_socket_left(&self, room: &Arc<Room>, listener: &Subscriber) {
        let (user, gone) = (listener.username(), Instant::now());
        if room.presence().remove_socket(user, listener.id(), gone) {
            let leaving = PendingOffline {
                left_at: gone,
                room: room.clone(),
                user: user.clone(),
            };
            self.pending_offline().push_back(leaving);
        }
    }

    /// A user is put out of a group.
    pub(super) fn on_member_removed(&self, room: &Arc<Room>, user: &Arc<str>) {
        let mut presence = room.presence();
        if let Some(change) = presence.remove_user(user) {
            self.publish_offline(room, user);
            room.broadcast_presence_changes(change);
        }
    }

    /// Has the other nodes say who is in a group, the first of which is just opened here.
    pub(super) fn start_presence_query(&self, room: &Room) {
        let mut presence = room.presence();
        presence.set_awaited_nodes(self.nodes.responsive());
        room.notify_if_presence_known(&presence);
        drop(presence);
        // As well, in case they remember something else.
        drop(self.publish_snapshot(&room.name));
        self.publish_presence_query(None, &[room.name.to_string()]);
    }

    /// Waits until it is known who is in a group, but not for long, and not beyond `patience`.
    pub(super) async fn wait_for_presence(&self, room: &Room, patience: tokio::time::Instant) {
        if self.broker.is_disconnected() {
            return;
        }
        let long_enough = tokio::time::Instant::now() + PRESENCE_QUERY_TIMEOUT;
        let until = long_enough.min(patience);
        if timeout_at(until, room.wait_presence_known()).await.is_err() && until == long_enough {
            let mut presence = room.presence();
            self.nodes.mark_unresponsive(presence.awaited_nodes());
            // Nobody waits for them again.
            presence.set_awaited_nodes([]);
            room.notify_if_presence_known(&presence);
        }
    }

    /// Says all that is known of this node's people, and has the others do so.
    async fn publish_and_query_all(&self) {
        let groups = self.active_group_names();
        self.publish_presence_query(None, &groups);
        self.publish_snapshots(groups).await;
    }

    async fn publish_snapshots(&self, groups: Vec<String>) {
        for (i, group) in (1..).zip(&groups) {
            let said = self.publish_snapshot(group);
            if i % MAX_GROUPS_PER_QUERY == 0 {
                // In vain where Redis is away.
                let _ = said.await;
            }
        }
    }

    fn publish_presence_query(&self, of: Option<&str>, groups: &[String]) {
        for groups in groups.chunks(MAX_GROUPS_PER_QUERY) {
            let word = NodeMessage::Who {
                node: self.node_id(),
                of: of.map(Into::into),
                groups: groups.iter().map(|group| group.as_str().into()).collect(),
            };
            drop(self.publish_node_message(CLUSTER_TOPIC, &word));
        }
    }

    fn publish_snapshot(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        let room = self.room(group);
        let presence = room.as_ref().map(|room| room.presence());
        let here = presence.iter().flat_map(|presence| presence.local_users());
        let users = here.map(|user| user.to_string().into()).collect();
        let node = self.node_id();
        // With the lock still held.
        self.publish_node_message(group, &NodeMessage::Here { node, users })
    }

    fn publish_offline(&self, room: &Room, user: &str) {
        let (node, user) = (self.node_id(), user.into());
        drop(self.publish_node_message(&room.name, &NodeMessage::Went { node, user }));
    }

    fn publish_node_message(
        &self,
        topic: &str,
        word: &NodeMessage<'_>,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        self.broker.publish(topic, word.encode())
    }

    fn on_node_lost(&self, node: &Arc<str>) {
        tracing::warn!(%node, "a node is not heard of any more: its people are gone");
        for room in self.all_rooms() {
            let mut presence = room.presence();
            let lost = presence.remove_node(node);
            room.broadcast_presence_changes(lost);
            room.notify_if_presence_known(&presence);
        }
        if self.nodes.contains(node) {
            // It is back already, and may have said who is there before it was taken for gone.
            self.publish_presence_query(Some(node), &self.active_group_names());
        }
    }

    /// Takes those for gone who did not come back.
    fn expire_pending_offline(&self) {
        let now = Instant::now();
        let is_due = |leaving: &mut PendingOffline| leaving.left_at + self.presence_grace() <= now;
        let mut gone_now = 0;
        while gone_now < MAX_OFFLINE_PER_TICK {
            let due = self.pending_offline().pop_front_if(is_due);
            let Some(PendingOffline {
                left_at: gone,
                room,
                user,
            }) = due
            else {
                return;
            };
            let is_current = self
                .room(&room.name)
                .is_some_and(|there| Arc::ptr_eq(&there, &room));
            let mut presence = room.presence();
            if let Some(change) = presence.expire_user(&user, gone)
                && is_current
            {
                self.publish_offline(&room, &user);
                room.broadcast_presence_changes(change);
                gone_now += 1;
            }
            drop(presence);
            self.close_room_if_empty(&room);
        }
    }

    /// Takes what another node says of a group, and tells the sockets, before anything else is said
    /// of it.
    fn update_presence<C>(&self, group: &str, change: impl FnOnce(&mut Presence) -> C)
    where
        C: IntoIterator<Item = PresenceChange>,
    {
        if let Some(room) = self.room(group) {
            let mut presence = room.presence();
            let changes = change(&mut presence);
            room.broadcast_presence_changes(changes);
            room.notify_if_presence_known(&presence);
        }
    }

    fn presence_grace(&self) -> Duration {
        Duration::from_secs(self.settings.channels.presence_grace.into())
    }

    /// Ends the typing of users of whom nothing more was heard.
    fn expire_typing(&self) {
        // A room that gets a typist in the meantime is added again.
        let rooms = mem::take(&mut *self.typing_rooms());
        for (id, room) in rooms {
            if room.expire_typing() {
                self.typing_rooms().insert(id, room);
            }
        }
    }

    fn all_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms().values().cloned().collect()
    }

    /// The names of the groups that are active here.
    fn active_group_names(&self) -> Vec<String> {
        self.rooms().keys().map(|name| name.to_string()).collect()
    }
}
