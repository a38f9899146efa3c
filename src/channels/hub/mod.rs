//! Who listens here to which group, and in which order they hear.
//!
//! A group has a [`room`] as long as it has listeners on this node, or somebody who may be about to
//! come back, and the node is subscribed to the group's topic for just as long. Idle groups cost
//! nothing.
//!
//! The broker is fast and may lose; the log has everything: see [`healing`].

mod attendance;
mod buffers;
mod healing;
mod joining;
mod listener;
mod nodes;
mod peer;
mod people;
mod places;
mod read_ahead;
mod room;
mod sessions;
mod subscription;
mod tail;
mod telling;
mod together;

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
    attendance::Leaving,
    buffers::BufferMemory,
    nodes::Nodes,
    people::People,
    room::Room,
    sessions::{Found, Suspects},
    together::Together,
};
pub(super) use self::{
    healing::in_time,
    peer::{Ending, Peer, Scope},
    places::Places,
    room::Attendance,
    subscription::Subscription,
    tail::News,
};
use uuid::Uuid;

use super::{
    Member,
    broker::{Broker, Inbox, Unavailable},
    protocol::{
        CloseReason,
        event::Told,
        whisper::{Topic, Whisper, Whispered},
        word::{NODES, Word},
    },
};
use crate::{
    database::checkpoint::WriterGate,
    health::Health,
    limits::LogThrottle,
    models::{chat_groups, epochs, events::Event, log::AcknowledgedHeads, sessions::Live, users},
    settings::Settings,
    supervisor::Supervisor,
};

/// A database that does not answer within this is as good as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sockets that read the log at once; the database has others to serve.
const READERS: usize = 4;

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    people: People,
    /// What other nodes call this one.
    name: Box<str>,
    nodes: Nodes,
    /// Whether this node has said goodbye to the others.
    has_parted: AtomicBool,
    /// In the order in which they went.
    leaving: Mutex<VecDeque<Leaving>>,
    /// The rooms with users who type.
    typing: Mutex<HashMap<i64, Arc<Room>>>,
    /// Groups of which other nodes want to know who is here.
    asked: mpsc::UnboundedSender<Vec<String>>,
    /// Groups in which an event is missing.
    gaps: mpsc::UnboundedSender<Arc<str>>,
    broker: Broker,
    db: DatabaseConnection,
    settings: Arc<Settings>,
    health: Health,
    /// The heads of the logs as the writer has acknowledged them.
    acknowledged: AcknowledgedHeads,
    /// The memory of the event buffers of all rooms.
    buffers: Arc<BufferMemory>,
    /// The life of the database in which the numbers mean something.
    epoch: RwLock<Arc<epochs::Model>>,
    /// Held while a new one begins, so that it begins once.
    beginning: tokio::sync::Mutex<()>,
    readers: Semaphore,
    /// Whether the server stops: who joins must go.
    draining: AtomicBool,
    /// Held while closed groups are purged.
    purging: tokio::sync::Mutex<()>,
    purge_wanted: AtomicBool,
    /// Messages of a kind that a newer node may know.
    unknown: LogThrottle,
    /// Is told of what was deleted.
    gate: WriterGate,
    /// The last membership that is known here.
    last_membership: AtomicI64,
    /// The memberships about that one of which this node has notified its sockets.
    welcomed: Mutex<BTreeSet<i64>>,
    /// Users of whose sessions one may have ended.
    suspects: Mutex<Suspects>,
    suspected: Notify,
    found: Found,
    /// Sessions that live, with their users.
    lives: Together<Uuid, (Live, users::Model)>,
    /// Members, by user and group.
    members: Together<(i64, Arc<str>), Member>,
    /// How many members groups have.
    counts: Together<i64, (i64, i64)>,
    /// Counts the sessions with Redis.
    links: Option<watch::Receiver<u64>>,
}

impl Hub {
    /// # Errors
    /// When the database fails.
    pub async fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
        gate: WriterGate,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, DbErr> {
        let epoch = epochs::Model::current(&db).await?;
        broker.set_epoch(&epoch.name);
        let (gaps, gapped) = mpsc::unbounded_channel();
        let (asked, inquiries) = mpsc::unbounded_channel();
        broker.subscribe(NODES);
        let links = broker.sessions();
        let (last_membership, welcomed) = healing::known_memberships(&db).await?;
        let lives = sessions::lives(&db, supervisor);
        let members = joining::members(&db, supervisor);
        let counts = joining::counts(&db, supervisor);
        let buffers = Arc::new(BufferMemory::new(settings.channels.buffer_bytes));
        let hub = Arc::new(Self {
            rooms: Mutex::default(),
            people: People::default(),
            name: Uuid::new_v4().simple().to_string().into(),
            nodes: Nodes::new(Duration::from_secs(settings.channels.presence_lease.into())),
            has_parted: AtomicBool::new(false),
            leaving: Mutex::default(),
            typing: Mutex::default(),
            asked,
            gaps,
            broker,
            epoch: RwLock::new(epoch.into()),
            beginning: tokio::sync::Mutex::default(),
            db,
            settings,
            health: supervisor.health().clone(),
            acknowledged: AcknowledgedHeads::default(),
            buffers,
            readers: Semaphore::new(READERS),
            draining: AtomicBool::new(false),
            purging: tokio::sync::Mutex::default(),
            purge_wanted: AtomicBool::new(false),
            unknown: LogThrottle::new(),
            gate,
            last_membership: AtomicI64::new(last_membership),
            welcomed: Mutex::new(welcomed),
            suspects: Mutex::default(),
            suspected: Notify::new(),
            found: Found::default(),
            lives,
            members,
            counts,
            links,
        });
        supervisor.spawn("hub", hub.clone().listen(inbox));
        supervisor.spawn("gap repair", hub.clone().heal_gaps(gapped));
        supervisor.spawn("sweep", hub.clone().sweep_by_the_clock());
        supervisor.spawn("presence", hub.clone().attend(inquiries));
        supervisor.spawn("session monitor", hub.clone().look_after_sessions());
        supervisor.spawn("buffer eviction", hub.clone().evict_buffers());
        let purger = hub.clone();
        // What the last process did not finish.
        supervisor.spawn("purge", async move { purger.purge().await });
        Ok(hub)
    }

    /// Lets a socket in, which [`Hub::dismiss`] undoes.
    fn admit(&self, peer: &Arc<Peer>) {
        self.people.enter(peer);
        self.suspect_newcomer(peer);
        // After that, or a drain that begins now would not find it.
        if self.draining.load(Ordering::SeqCst) {
            peer.end(CloseReason::Restart);
        }
    }

    fn dismiss(&self, peer: &Arc<Peer>) {
        self.people.leave(peer);
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.broker.connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.rooms().len()
    }

    pub fn buffered_bytes(&self) -> usize {
        self.buffers.used()
    }

    pub fn last_told(&self, group: &str) -> Option<i64> {
        self.room(group).map(|room| room.last())
    }

    pub fn listeners(&self) -> usize {
        self.rooms()
            .values()
            .map(|room| room.listeners_here())
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
    pub fn announce(&self, group: &str, events: &[Event]) {
        let told: Vec<_> = events.iter().map(|event| Told::new(group, event)).collect();
        // Redis is the fast way to the other nodes. When it does not take an event, they find it in the
        // log: at the next gap or sweep.
        for payload in Told::payloads(&told) {
            drop(self.broker.publish(group, payload));
        }
        self.arrive(group, told);
    }

    /// Notifies the sockets of many groups of a user, on all nodes, that the user has become a member of a
    /// group.
    pub fn welcome(&self, user: &str, group: &str, membership: i64) {
        let joined = Word::Joined {
            user: user.into(),
            group: group.into(),
            membership,
        };
        drop(self.broker.publish(NODES, joined.encode()));
        self.welcome_here(user, group, membership);
    }

    /// Notifies the sockets of this node, once for each membership. No clock is compared: a socket that was
    /// opened since the first notification found the group in its list.
    fn welcome_here(&self, user: &str, group: &str, membership: i64) {
        if self.welcomed().insert(membership) {
            self.people.welcome(user, &group.into());
        }
    }

    /// Tells rich sockets of a group, on all nodes, what is in no log. It may be lost.
    pub fn whisper(&self, group: &str, whisper: &Whisper<'_>) {
        let whispered = Whispered::new(whisper);
        drop(self.broker.publish(group, whispered.frame().into()));
        self.arrive_whisper(group, whispered);
    }

    fn arrive_whisper(&self, group: &str, whispered: Whispered) {
        if let Some(room) = self.room(group) {
            let is_typing = whispered.topic == Topic::Typing && whispered.is_on;
            room.whisper(&Arc::new(whispered));
            if is_typing {
                self.typing().insert(room.id, room);
            }
        }
    }

    /// Sends all sockets away, spread over this time, and those that come from now on at once.
    pub async fn send_away(&self, over: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        let peers = self.people.all();
        let count = u32::try_from(peers.len()).unwrap_or(u32::MAX);
        let begin = Instant::now();
        for (i, peer) in (1..).zip(peers) {
            sleep_until(begin + over.mul_f64(f64::from(i) / f64::from(count))).await;
            peer.end(CloseReason::Restart);
        }
    }

    /// Has all nodes look whether something was stored in a group: nobody here knows.
    pub fn doubt(&self, group: &str) {
        drop(self.broker.publish(group, Bytes::new()));
        self.look_after(group);
    }

    /// Tells all nodes that a group was deleted.
    pub fn announce_gone(&self, group: &str) {
        drop(self.broker.publish(group, Word::Gone.encode()));
        self.look_after(group);
    }

    /// The heads of the logs that the writer has acknowledged.
    pub fn acknowledged(&self) -> &AcknowledgedHeads {
        &self.acknowledged
    }

    pub fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Deletes what was said in groups that are closed. Of many who ask, one does it for all.
    pub async fn purge(&self) {
        self.purge_wanted.store(true, Ordering::Relaxed);
        let Ok(_purging) = self.purging.try_lock() else {
            return;
        };
        while self.purge_wanted.swap(false, Ordering::Relaxed) {
            let purged = chat_groups::Model::purge_closed(&self.db).await;
            self.gate.note_deleted();
            if let Err(error) = purged {
                // The next deletion, or the next start, goes on.
                tracing::warn!(%error, "a closed group could not be purged");
            }
        }
    }

    async fn listen(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((topic, payload)) = inbox.recv().await {
            if let Some(told) = Told::decode(&payload) {
                self.arrive(&topic, told);
            } else if let Some(whispered) = Whispered::decode(payload.clone()) {
                self.arrive_whisper(&topic, whispered);
            } else if payload.is_empty() {
                self.look_after(&topic);
            } else {
                match Word::decode(&payload) {
                    Some(Word::Gone) => self.look_after(&topic),
                    Some(Word::Joined {
                        user,
                        group,
                        membership,
                    }) => self.welcome_here(&user, &group, membership),
                    Some(Word::Sessions { user }) => self.suspect(&user),
                    Some(word) => self.hear(&topic, &word),
                    None => {
                        if let Some(suppressed) = self.unknown.permit() {
                            tracing::warn!(topic, suppressed, "node message of an unknown kind");
                        }
                    }
                }
            }
        }
    }

    fn arrive(&self, group: &str, told: impl IntoIterator<Item = Told>) {
        if let Some(room) = self.room(group)
            && self.take_in(&room, told)
        {
            self.report_gap(&room);
        }
    }

    /// Tells a room of events. Says whether one is missing.
    fn take_in(&self, room: &Arc<Room>, told: impl IntoIterator<Item = Told>) -> bool {
        let arrived = room.arrive(told);
        for user in &arrived.put_out {
            self.forget(room, user);
        }
        arrived.is_gapped
    }

    /// Has a group compared with the database; or, where the topic is that of the nodes, the sessions
    /// of all sockets.
    fn look_after(&self, topic: &str) {
        if topic == NODES {
            self.suspect_all();
        } else if let Some(room) = self.room(topic) {
            self.report_gap(&room);
        }
    }

    fn report_gap(&self, room: &Room) {
        if room.note_gap() {
            // The healer ends with the process.
            let _ = self.gaps.send(room.name.clone());
        }
    }

    fn room(&self, group: &str) -> Option<Arc<Room>> {
        self.rooms().get(group).cloned()
    }

    fn node(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn leaving(&self) -> MutexGuard<'_, VecDeque<Leaving>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn typing(&self) -> MutexGuard<'_, HashMap<i64, Arc<Room>>> {
        self.typing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
