//! Who listens here to which group, and in which order they hear.
//!
//! A group has a [`room`] as long as it has listeners on this node, or somebody who may be about to
//! come back, and the node is subscribed to the group's topic for just as long. Idle groups cost
//! nothing.
//!
//! The broker is fast and may lose; the log has everything: see [`healing`].

mod batch_loader;
mod broadcast;
mod buffer_memory;
mod connected_users;
mod event_buffer;
mod gap_repair;
mod join;
mod node_registry;
mod presence_sync;
mod read_ahead;
mod room;
mod session_monitor;
mod socket_handle;
mod subscriber;
mod subscription;
mod subscriptions;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};

use self::{
    batch_loader::BatchLoader,
    buffer_memory::BufferMemory,
    connected_users::ConnectedUsers,
    node_registry::NodeRegistry,
    presence_sync::PendingOffline,
    room::Room,
    session_monitor::{SessionCache, SessionRechecks},
};
pub(super) use self::{
    event_buffer::NextEvents,
    gap_repair::with_db_timeout,
    room::OnlineUsers,
    socket_handle::{CloseSignal, SocketHandle, SocketScope},
    subscription::Subscription,
    subscriptions::Subscriptions,
};
use uuid::Uuid;

use super::{
    Member,
    broker::{Broker, BrokerUnavailable, Inbox},
    protocol::{
        CloseReason,
        ephemeral::{EncodedEphemeral, EphemeralEvent, EphemeralKind},
        event::EncodedEvent,
        node_message::{CLUSTER_TOPIC, NodeMessage},
    },
};
use crate::{
    database::checkpoint::WriterLock,
    health::Health,
    limits::LogThrottle,
    models::{
        chat_groups, epochs, events::Event, log::AcknowledgedHeads, sessions::ActiveSession, users,
    },
    settings::Settings,
    supervisor::Supervisor,
};

/// A database that does not answer within this is as good as away.
const DB_TIMEOUT: Duration = Duration::from_secs(10);

/// Sockets that read the log at once; the database has others to serve.
const MAX_CONCURRENT_LOG_READS: usize = 4;

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    connected_users: ConnectedUsers,
    /// What other nodes call this one.
    node_id: Box<str>,
    nodes: NodeRegistry,
    /// Whether this node has said goodbye to the others.
    has_left: AtomicBool,
    /// In the order in which they went.
    pending_offline: Mutex<VecDeque<PendingOffline>>,
    /// The rooms with users who type.
    typing_rooms: Mutex<HashMap<i64, Arc<Room>>>,
    /// Groups of which other nodes want to know who is here.
    presence_queries: mpsc::UnboundedSender<Vec<String>>,
    /// Groups in which an event is missing.
    gap_reports: mpsc::UnboundedSender<Arc<str>>,
    broker: Broker,
    db: DatabaseConnection,
    settings: Arc<Settings>,
    health: Health,
    /// The heads of the logs as the writer has acknowledged them.
    acknowledged_heads: AcknowledgedHeads,
    /// The memory of the event buffers of all rooms.
    buffer_memory: Arc<BufferMemory>,
    /// The life of the database in which the numbers mean something.
    epoch: RwLock<Arc<epochs::Model>>,
    /// Held while a new one begins, so that it begins once.
    epoch_change_lock: tokio::sync::Mutex<()>,
    log_read_permits: Semaphore,
    /// Whether the server stops: who joins must go.
    is_draining: AtomicBool,
    /// Held while closed groups are purged.
    purge_lock: tokio::sync::Mutex<()>,
    is_purge_requested: AtomicBool,
    /// Messages of a kind that a newer node may know.
    unknown_message_log: LogThrottle,
    /// Is told of what was deleted.
    gate: WriterLock,
    /// The last membership that is known here.
    last_membership_id: AtomicI64,
    /// The memberships about that one of which this node has notified its sockets.
    notified_memberships: Mutex<BTreeSet<i64>>,
    /// Users of whose sessions one may have ended.
    session_rechecks: Mutex<SessionRechecks>,
    recheck_requested: Notify,
    session_cache: SessionCache,
    /// Sessions that live, with their users.
    session_loader: BatchLoader<Uuid, (ActiveSession, users::Model)>,
    /// Members, by user and group.
    member_loader: BatchLoader<(i64, Arc<str>), Member>,
    /// How many members groups have.
    member_count_loader: BatchLoader<i64, (i64, i64)>,
    /// Counts the sessions with Redis.
    broker_reconnects: Option<watch::Receiver<u64>>,
}

impl Hub {
    /// # Errors
    /// When the database fails.
    pub async fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
        gate: WriterLock,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, DbErr> {
        let epoch = epochs::Model::current(&db).await?;
        broker.set_epoch(&epoch.name);
        let (gaps, gapped) = mpsc::unbounded_channel();
        let (asked, inquiries) = mpsc::unbounded_channel();
        broker.subscribe(CLUSTER_TOPIC);
        let links = broker.reconnects();
        let (last_membership, welcomed) = gap_repair::load_recent_memberships(&db).await?;
        let lives = session_monitor::session_loader(&db, supervisor);
        let members = join::member_loader(&db, supervisor);
        let counts = join::member_count_loader(&db, supervisor);
        let buffers = Arc::new(BufferMemory::new(settings.channels.buffer_bytes));
        let hub = Arc::new(Self {
            rooms: Mutex::default(),
            connected_users: ConnectedUsers::default(),
            node_id: Uuid::new_v4().simple().to_string().into(),
            nodes: NodeRegistry::new(Duration::from_secs(settings.channels.presence_lease.into())),
            has_left: AtomicBool::new(false),
            pending_offline: Mutex::default(),
            typing_rooms: Mutex::default(),
            presence_queries: asked,
            gap_reports: gaps,
            broker,
            epoch: RwLock::new(epoch.into()),
            epoch_change_lock: tokio::sync::Mutex::default(),
            db,
            settings,
            health: supervisor.health().clone(),
            acknowledged_heads: AcknowledgedHeads::default(),
            buffer_memory: buffers,
            log_read_permits: Semaphore::new(MAX_CONCURRENT_LOG_READS),
            is_draining: AtomicBool::new(false),
            purge_lock: tokio::sync::Mutex::default(),
            is_purge_requested: AtomicBool::new(false),
            unknown_message_log: LogThrottle::new(),
            gate,
            last_membership_id: AtomicI64::new(last_membership),
            notified_memberships: Mutex::new(welcomed),
            session_rechecks: Mutex::default(),
            recheck_requested: Notify::new(),
            session_cache: SessionCache::default(),
            session_loader: lives,
            member_loader: members,
            member_count_loader: counts,
            broker_reconnects: links,
        });
        supervisor.spawn("hub", hub.clone().run_inbox(inbox));
        supervisor.spawn("gap repair", hub.clone().run_gap_repair(gapped));
        supervisor.spawn("sweep", hub.clone().run_sweep());
        supervisor.spawn("presence", hub.clone().run_presence(inquiries));
        supervisor.spawn("session monitor", hub.clone().run_session_monitor());
        supervisor.spawn("buffer eviction", hub.clone().run_buffer_eviction());
        let purger = hub.clone();
        // What the last process did not finish.
        supervisor.spawn("purge", async move { purger.purge_closed_groups().await });
        Ok(hub)
    }

    /// Lets a socket in, which [`Hub::unregister_socket`] undoes.
    fn register_socket(&self, peer: &Arc<SocketHandle>) {
        self.connected_users.add(peer);
        self.queue_recheck_if_recent(peer);
        // After that, or a drain that begins now would not find it.
        if self.is_draining.load(Ordering::SeqCst) {
            peer.close(CloseReason::ServerRestart);
        }
    }

    fn unregister_socket(&self, peer: &Arc<SocketHandle>) {
        self.connected_users.remove(peer);
    }

    pub async fn wait_connected(&self, limit: Duration) -> Result<(), BrokerUnavailable> {
        self.broker.wait_until_connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.rooms().len()
    }

    pub fn buffered_bytes(&self) -> usize {
        self.buffer_memory.used()
    }

    pub fn last_seq(&self, group: &str) -> Option<i64> {
        self.room(group).map(|room| room.last_seq())
    }

    pub fn subscriber_count(&self) -> usize {
        self.rooms()
            .values()
            .map(|room| room.subscriber_count())
            .sum()
    }

    /// The present life of the database.
    pub fn epoch(&self) -> Arc<epochs::Model> {
        self.epoch
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells all sockets of a group of what was stored, here and on the other nodes.
    pub fn deliver_events(&self, group: &str, events: &[Event]) {
        let told: Vec<_> = events
            .iter()
            .map(|event| EncodedEvent::encode(group, event))
            .collect();
        // Redis is the fast way to the other nodes. When it does not take an event, they find it in the
        // log: at the next gap or sweep.
        for payload in EncodedEvent::batch_payloads(&told) {
            drop(self.broker.publish(group, payload));
        }
        self.receive_events(group, told);
    }

    /// Notifies the sockets of many groups of a user, on all nodes, that the user has become a member of a
    /// group.
    pub fn announce_member_added(&self, user: &str, group: &str, membership: i64) {
        let joined = NodeMessage::Joined {
            user: user.into(),
            group: group.into(),
            membership,
        };
        drop(self.broker.publish(CLUSTER_TOPIC, joined.encode()));
        self.notify_member_added(user, group, membership);
    }

    /// Notifies the sockets of this node, once for each membership. No clock is compared: a socket that was
    /// opened since the first notification found the group in its list.
    fn notify_member_added(&self, user: &str, group: &str, membership: i64) {
        if self.notified_memberships().insert(membership) {
            self.connected_users
                .notify_member_added(user, &group.into());
        }
    }

    /// Tells rich sockets of a group, on all nodes, what is in no log. It may be lost.
    pub fn send_ephemeral(&self, group: &str, whisper: &EphemeralEvent<'_>) {
        let whispered = EncodedEphemeral::encode(whisper);
        drop(self.broker.publish(group, whispered.frame().into()));
        self.receive_ephemeral(group, whispered);
    }

    fn receive_ephemeral(&self, group: &str, whispered: EncodedEphemeral) {
        if let Some(room) = self.room(group) {
            let is_typing = whispered.kind == EphemeralKind::Typing && whispered.is_typing;
            room.broadcast_ephemeral(&Arc::new(whispered));
            if is_typing {
                self.typing_rooms().insert(room.id, room);
            }
        }
    }

    /// Sends all sockets away, spread over this time, and those that come from now on at once.
    pub async fn disconnect_all(&self, over: Duration) {
        self.is_draining.store(true, Ordering::SeqCst);
        let peers = self.connected_users.all_sockets();
        let count = u32::try_from(peers.len()).unwrap_or(u32::MAX);
        let begin = Instant::now();
        for (i, peer) in (1..).zip(peers) {
            sleep_until(begin + over.mul_f64(f64::from(i) / f64::from(count))).await;
            peer.close(CloseReason::ServerRestart);
        }
    }

    /// Has all nodes look whether something was stored in a group: nobody here knows.
    pub fn request_gap_repair(&self, group: &str) {
        drop(self.broker.publish(group, Bytes::new()));
        self.recheck_topic(group);
    }

    /// Tells all nodes that a group was deleted.
    pub fn announce_group_deleted(&self, group: &str) {
        drop(self.broker.publish(group, NodeMessage::Gone.encode()));
        self.recheck_topic(group);
    }

    /// The heads of the logs that the writer has acknowledged.
    pub fn acknowledged_heads(&self) -> &AcknowledgedHeads {
        &self.acknowledged_heads
    }

    pub fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Deletes what was said in groups that are closed. Of many who ask, one does it for all.
    pub async fn purge_closed_groups(&self) {
        self.is_purge_requested.store(true, Ordering::Relaxed);
        let Ok(_purging) = self.purge_lock.try_lock() else {
            return;
        };
        while self.is_purge_requested.swap(false, Ordering::Relaxed) {
            let purged = chat_groups::Model::purge_deleted(&self.db).await;
            self.gate.mark_deleted();
            if let Err(error) = purged {
                // The next deletion, or the next start, goes on.
                tracing::warn!(%error, "a closed group could not be purged");
            }
        }
    }

    async fn run_inbox(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((topic, payload)) = inbox.recv().await {
            if let Some(told) = EncodedEvent::decode_batch(&payload) {
                self.receive_events(&topic, told);
            } else if let Some(whispered) = EncodedEphemeral::decode(payload.clone()) {
                self.receive_ephemeral(&topic, whispered);
            } else if payload.is_empty() {
                self.recheck_topic(&topic);
            } else {
                match NodeMessage::decode(&payload) {
                    Some(NodeMessage::Gone) => self.recheck_topic(&topic),
                    Some(NodeMessage::Joined {
                        user,
                        group,
                        membership,
                    }) => self.notify_member_added(&user, &group, membership),
                    Some(NodeMessage::Sessions { user }) => self.queue_recheck(&user),
                    Some(word) => self.on_presence_message(&topic, &word),
                    None => {
                        if let Some(suppressed) = self.unknown_message_log.allow() {
                            tracing::warn!(topic, suppressed, "node message of an unknown kind");
                        }
                    }
                }
            }
        }
    }

    fn receive_events(&self, group: &str, told: impl IntoIterator<Item = EncodedEvent>) {
        if let Some(room) = self.room(group)
            && self.ingest_events(&room, told)
        {
            self.report_gap(&room);
        }
    }

    /// Tells a room of events. Says whether one is missing.
    fn ingest_events(
        &self,
        room: &Arc<Room>,
        told: impl IntoIterator<Item = EncodedEvent>,
    ) -> bool {
        let arrived = room.receive_events(told);
        for user in &arrived.removed_users {
            self.on_member_removed(room, user);
        }
        arrived.has_gap
    }

    /// Has a group compared with the database; or, where the topic is that of the nodes, the sessions
    /// of all sockets.
    fn recheck_topic(&self, topic: &str) {
        if topic == CLUSTER_TOPIC {
            self.queue_recheck_all();
        } else if let Some(room) = self.room(topic) {
            self.report_gap(&room);
        }
    }

    fn report_gap(&self, room: &Room) {
        if room.mark_gap_reported() {
            // The healer ends with the process.
            let _ = self.gap_reports.send(room.name.clone());
        }
    }

    fn room(&self, group: &str) -> Option<Arc<Room>> {
        self.rooms().get(group).cloned()
    }

    fn node_id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.node_id)
    }

    fn pending_offline(&self) -> MutexGuard<'_, VecDeque<PendingOffline>> {
        self.pending_offline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn typing_rooms(&self) -> MutexGuard<'_, HashMap<i64, Arc<Room>>> {
        self.typing_rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
