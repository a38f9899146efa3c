//! The active groups of this node.
//!
//! A group has a [`Room`] while sockets are subscribed to it or a user may reconnect. The node is subscribed to the
//! group's topic for the same time. So an idle group costs nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{buffer_memory::BufferMemory, room::Room, subscriber::Subscriber};
use crate::{
    channels::{Member, broker::Broker},
    metrics::METRICS,
    settings::Settings,
};

/// All rooms of this node, by the names of their groups.
pub(in crate::channels) struct Rooms {
    /// Held for a short time, and never across an await. Rooms are opened and closed, and topics subscribed and
    /// unsubscribed, under this lock, so that the topics always match the rooms.
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    broker: Arc<Broker>,
    settings: Arc<Settings>,
    /// The memory of the event buffers of all rooms.
    buffer_memory: Arc<BufferMemory>,
}

impl Rooms {
    /// The rooms of a node that has no rooms yet.
    pub fn new(broker: Arc<Broker>, settings: Arc<Settings>) -> Self {
        Self {
            rooms: Mutex::default(),
            broker,
            buffer_memory: Arc::new(BufferMemory::new(settings.channels.buffer_bytes)),
            settings,
        }
    }

    /// Adds a subscriber to the room of a member's group. The first subscriber opens the room.
    pub(super) fn enter(&self, member: &Member, subscriber: &Arc<Subscriber>) -> Arc<Room> {
        match self.rooms().entry(member.group_name.clone()) {
            Entry::Occupied(room) => {
                room.get().add_subscriber(subscriber.clone());
                room.get().clone()
            }
            Entry::Vacant(vacant) => {
                let topic_ready = self.broker.subscribe(vacant.key());
                let (settings, memory) = (self.settings.clone(), self.buffer_memory.clone());
                let room = Room::new(member, topic_ready, settings, memory);
                room.add_subscriber(subscriber.clone());
                vacant.insert(Arc::new(room)).clone()
            }
        }
    }

    /// Closes a room if no socket is subscribed and no user may reconnect.
    pub fn close_if_empty(&self, room: &Arc<Room>) {
        // The first check needs no lock of all rooms, because most rooms are not empty.
        if !room.is_empty() {
            return;
        }
        let mut rooms = self.rooms();
        if Self::contains_same(&rooms, room) && room.is_empty() {
            rooms.remove(&room.name);
            self.broker.unsubscribe(&room.name);
        }
    }

    /// Runs `change`, and then removes all rooms. No room opens in between.
    ///
    /// A socket that joins later gets a new room, which sees the change.
    pub fn clear_after(&self, change: impl FnOnce()) {
        let mut rooms = self.rooms();
        change();
        for (name, _) in rooms.drain() {
            self.broker.unsubscribe(&name);
        }
    }

    /// The room of a group, if the group is active here.
    pub fn get(&self, group: &str) -> Option<Arc<Room>> {
        self.rooms().get(group).cloned()
    }

    /// Returns `true` if this room is open. After it has closed, another room may have the same name.
    pub fn is_open(&self, room: &Arc<Room>) -> bool {
        Self::contains_same(&self.rooms(), room)
    }

    /// All rooms.
    pub fn all(&self) -> Vec<Arc<Room>> {
        self.rooms().values().cloned().collect()
    }

    /// The names of all active groups.
    pub fn names(&self) -> Vec<String> {
        self.rooms().keys().map(|name| name.to_string()).collect()
    }

    /// The number of active groups.
    pub fn len(&self) -> usize {
        self.rooms().len()
    }

    /// Bytes that the event buffers of all rooms take.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer_memory.used()
    }

    /// Empties event buffers whenever their sum exceeds the limit. The rooms with the oldest last event lose theirs first.
    pub async fn run_buffer_eviction(self: Arc<Self>) {
        loop {
            self.buffer_memory.wait_until_exceeded().await;
            let mut by_age: Vec<_> = self
                .all()
                .into_iter()
                .map(|room| (room.last_event_at(), room))
                .collect();
            by_age.sort_by_key(|(at, _)| *at);
            let mut evicted = 0_u32;
            for (_, room) in by_age {
                if self.buffer_memory.has_headroom() {
                    break;
                }
                room.evict_buffer();
                METRICS.buffer_evictions.inc();
                evicted += 1;
            }
            let used = self.buffer_memory.used();
            tracing::debug!(evicted, used, "event buffers were evicted");
        }
    }

    fn contains_same(rooms: &HashMap<Arc<str>, Arc<Room>>, room: &Arc<Room>) -> bool {
        rooms
            .get(&room.name)
            .is_some_and(|other| Arc::ptr_eq(other, room))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
