//! Who listens here to which group, and in which order they hear.
//!
//! A group has a [`room`] as long as it has listeners on this node, and the node is subscribed to
//! the group's topic for just as long. Idle groups cost nothing.
//!
//! The broker is fast and may lose; the log has everything: see [`healing`].

mod healing;
mod room;
mod subscription;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use axum::body::Bytes;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::{Semaphore, mpsc};

use self::room::{Listener, Room};
pub(super) use self::{room::News, subscription::Subscription};
use super::{
    Member,
    broker::{Broker, Inbox, Unavailable},
    protocol::event::{GONE, Told},
};
use crate::{
    models::{epochs, events::Event},
    settings::Settings,
};

/// A database that does not answer within this is as good as away.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sockets that read the log at once; the database has others to serve.
const READERS: usize = 4;

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    /// Groups in which an event is missing.
    gaps: mpsc::UnboundedSender<Arc<str>>,
    broker: Broker,
    db: DatabaseConnection,
    settings: Arc<Settings>,
    /// The life of the database in which the numbers mean something.
    epoch: RwLock<Arc<str>>,
    readers: Semaphore,
}

impl Hub {
    /// # Errors
    /// When the database fails.
    pub async fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
    ) -> Result<Arc<Self>, DbErr> {
        let (gaps, gapped) = mpsc::unbounded_channel();
        let hub = Arc::new(Self {
            rooms: Mutex::default(),
            gaps,
            broker,
            epoch: RwLock::new(epochs::Model::current(&db).await?.into()),
            db,
            settings,
            readers: Semaphore::new(READERS),
        });
        tokio::spawn(hub.clone().listen(inbox));
        tokio::spawn(hub.clone().heal_gaps(gapped));
        tokio::spawn(hub.clone().sweep_by_the_clock());
        Ok(hub)
    }

    /// Joins a group. What comes after the moment of [`Member::head`] arrives, whether it was
    /// stored here or elsewhere, before or after this.
    pub async fn join(self: &Arc<Self>, member: &Member) -> Subscription {
        let listener = Arc::new(Listener::new(member.author.username.clone(), member.head));
        let (room, is_first) = self.enter(member, &listener);
        room.subscribed.clone().wait().await;
        if is_first {
            // What was stored between the look at the head and the subscription.
            self.report_gap(&room);
        }
        Subscription::new(self.clone(), room, listener)
    }

    fn enter(&self, member: &Member, listener: &Arc<Listener>) -> (Arc<Room>, bool) {
        match self.rooms().entry(member.group.clone()) {
            Entry::Occupied(room) => {
                room.get().enter(listener.clone());
                (room.get().clone(), false)
            }
            Entry::Vacant(vacant) => {
                let name = vacant.key().clone();
                let subscribed = self.broker.subscribe(&name);
                let room = Room::new(member.group_id, name, member.head, subscribed);
                room.enter(listener.clone());
                (vacant.insert(Arc::new(room)).clone(), true)
            }
        }
    }

    fn leave(&self, room: &Arc<Room>, listener: &Arc<Listener>) {
        let mut rooms = self.rooms();
        if room.leave(listener) {
            rooms.remove(&room.name);
            self.broker.unsubscribe(&room.name);
        }
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.broker.connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.rooms().len()
    }

    pub fn last_told(&self, group: &str) -> Option<i64> {
        self.room(group).map(|room| room.cursor().seq)
    }

    pub fn listeners(&self) -> usize {
        self.rooms().values().map(|room| room.count()).sum()
    }

    /// The present life of the database.
    pub fn epoch(&self) -> Arc<str> {
        self.epoch
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells all sockets of a group of what was stored, here and on the other nodes.
    pub fn announce(&self, group: &str, event: &Event) {
        let told = Told::new(group, event);
        // Redis is the fast way to the other nodes. When it does not take an event, they find it in
        // the log: at the next gap or sweep.
        drop(self.broker.publish(group, told.frame().into()));
        self.arrive(group, told);
    }

    /// Tells all nodes that a group was deleted.
    pub fn announce_gone(&self, group: &str) {
        drop(
            self.broker
                .publish(group, Bytes::from_static(GONE.as_bytes())),
        );
        self.look_after(group);
    }

    async fn listen(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((group, payload)) = inbox.recv().await {
            match Told::decode(payload.clone()) {
                Some(told) => self.arrive(&group, told),
                None if payload == GONE.as_bytes() => self.look_after(&group),
                None => tracing::warn!(%group, "a payload came that no node of ours has sent"),
            }
        }
    }

    fn arrive(&self, group: &str, told: Told) {
        if let Some(room) = self.room(group)
            && room.arrive(Arc::new(told))
        {
            self.report_gap(&room);
        }
    }

    /// Has a group compared with the database.
    fn look_after(&self, group: &str) {
        if let Some(room) = self.room(group) {
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

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
