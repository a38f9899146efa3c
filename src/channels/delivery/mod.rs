//! Delivery: which socket receives which event, in order.
//!
//! Events reach [`Delivery`] from the writer of this node and, by the broker, from other nodes. The [`Room`] of the
//! group puts them in order (`event_buffer`, `sequencer`) and broadcasts them (`broadcast`). A [`Subscription`] is a
//! socket's position in one group: the socket's task reads the next events by it, from the buffer or from the log.
//! The broker may lose events, and the log has all of them, so [`GapRepair`] reads missing events from the log.
//!
//! # Lock order
//!
//! A thread that holds a lock may take only locks further down in this list. No lock of level 3 and below is held
//! across an await.
//!
//! 0. `WriterLock` (async), held by the writer for one batch and by the checkpointer of SQLite. Under it: the
//!    database, and all locks below. No task takes it while it holds one of these.
//! 1. `EpochWatch::change_lock` (async). Under it: the database, and all locks below.
//! 2. `Room::log_read_lock` (async), then a permit of `LogReader`. Under them: the database, and all locks below.
//!    No task takes the lock of level 1 while it holds these.
//! 3. `Rooms::rooms`. Under it: the broker's own lock, the current epoch, the acknowledged heads, and the locks of a
//!    room.
//! 4. `Subscriber::direct_write`. Under it: `SocketWriter`, and `Room::event_buffer`.
//! 5. `Room::event_buffer`. Under it: `Room::subscribers`, `BroadcastQueue`, `MemberCount`.
//! 6. `RoomPresence::state`. Under it: the broker's own lock, `Cluster::nodes`, `Room::subscribers`,
//!    `EphemeralState`. It is never taken under 4 or 5.
//! 7. `Room::subscribers`, and `ConnectedSockets::by_user`. Under them: the locks of a socket.
//! 8. `SessionCache`, then `SessionRechecks`.
//! 9. The locks of one socket (`pending_ephemerals`, `session`, `ReadyQueue`, `SocketWriter`), and all others:
//!    each of them is held for one operation, and takes no lock.

mod broadcast;
mod buffer_memory;
mod connected_sockets;
mod ephemeral_state;
mod event_buffer;
mod gap_repair;
mod log_reader;
mod member_count;
mod read_ahead;
mod room;
mod rooms;
mod sequencer;
mod socket_handle;
mod subscriber;
mod subscription;
mod subscriptions;
#[cfg(test)]
mod test_events;

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

pub use self::sequencer::Sequencer;
pub(super) use self::{
    connected_sockets::ConnectedSockets,
    event_buffer::NextEvents,
    gap_repair::{GapRepair, MAX_GROUPS_PER_COMPARISON},
    log_reader::LogReader,
    member_count::{LARGE_GROUP_MEMBERS, MemberCount},
    room::Room,
    rooms::Rooms,
    socket_handle::{CloseSignal, SocketHandle, SocketScope},
    subscriber::Subscriber,
    subscription::Subscription,
    subscriptions::Subscriptions,
};
use super::{
    Member,
    broker::Broker,
    presence::PresenceSync,
    protocol::{
        ephemeral::{EncodedEphemeral, EphemeralEvent, EphemeralKind},
        event::EncodedEvent,
        node_message::NodeMessage,
    },
};
use crate::{metrics::METRICS, models::events::Event, trace};

/// The interval of checks for typing users that have stopped without an event.
const TYPING_TICK: Duration = Duration::from_millis(250);

/// The delivery of events and ephemeral events to the sockets of this node, and to the other nodes.
pub(super) struct Delivery {
    rooms: Arc<Rooms>,
    broker: Arc<Broker>,
    presence: Arc<PresenceSync>,
    /// The rooms with typing users.
    typing_rooms: Mutex<HashMap<i64, Arc<Room>>>,
    /// Groups to compare with the log.
    gap_reports: mpsc::UnboundedSender<Arc<str>>,
}

/// The groups to compare with the log, for [`GapRepair::run`].
pub(super) struct GapReports(mpsc::UnboundedReceiver<Arc<str>>);

impl Delivery {
    /// The delivery to these rooms.
    pub fn new(
        rooms: Arc<Rooms>,
        broker: Arc<Broker>,
        presence: Arc<PresenceSync>,
    ) -> (Self, GapReports) {
        let (gap_reports, received) = mpsc::unbounded_channel();
        let delivery = Self {
            rooms,
            broker,
            presence,
            typing_rooms: Mutex::default(),
            gap_reports,
        };
        (delivery, GapReports(received))
    }

    /// The rooms of this node.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// Delivers committed events of a group to all sockets, here and on the other nodes.
    pub fn deliver_events(&self, group: &str, events: &[Event]) {
        let encoded: Vec<_> = events
            .iter()
            .map(|event| EncodedEvent::encode(group, event))
            .collect();
        // Other nodes find an event in the log that the broker does not take: at the next gap or sweep.
        let publish_span = trace::is_exporting().then(|| tracing::info_span!("publish"));
        for payload in EncodedEvent::batch_payloads(&encoded) {
            drop(self.broker.publish(group, payload));
        }
        drop(publish_span);
        self.receive_events(group, encoded);
    }

    /// Delivers events to the sockets of this node.
    pub fn receive_events(&self, group: &str, events: impl IntoIterator<Item = EncodedEvent>) {
        if let Some(room) = self.rooms.get(group)
            && self.ingest(&room, events)
            && self.report_gap(&room)
        {
            METRICS.gaps_found.inc();
        }
    }

    /// Gives events to a room. Returns `true` if an event is missing.
    fn ingest(&self, room: &Arc<Room>, events: impl IntoIterator<Item = EncodedEvent>) -> bool {
        let outcome = room.receive_events(events);
        for user in &outcome.removed_users {
            self.presence.on_member_removed(room, user);
        }
        outcome.has_gap
    }

    /// Sends an ephemeral event to the rich sockets of a group, here and on the other nodes. It may be lost.
    pub fn send_ephemeral(&self, group: &str, event: &EphemeralEvent<'_>) {
        let encoded = EncodedEphemeral::encode(event);
        drop(self.broker.publish(group, encoded.frame().into()));
        self.receive_ephemeral(group, encoded);
    }

    /// Sends an ephemeral event to the rich sockets of this node.
    pub fn receive_ephemeral(&self, group: &str, event: EncodedEphemeral) {
        if let Some(room) = self.rooms.get(group) {
            let is_typing = event.kind == EphemeralKind::Typing && event.is_typing;
            room.broadcast_ephemeral(&Arc::new(event));
            if is_typing {
                self.typing_rooms().insert(room.id, room);
            }
        }
    }

    /// Makes all nodes compare a group with the log, because the outcome of a commit is unknown.
    pub fn request_gap_repair(&self, group: &str) {
        drop(self.broker.publish(group, Bytes::new()));
        self.compare_with_log(group);
    }

    /// Announces to all nodes that a group was deleted.
    pub fn announce_group_deleted(&self, group: &str) {
        let message = NodeMessage::GroupDeleted.encode();
        drop(self.broker.publish(group, message));
        self.compare_with_log(group);
    }

    /// Requests a comparison of a group with the log, if the group is active here. The sockets of a deleted group
    /// close by it.
    pub fn compare_with_log(&self, group: &str) {
        if let Some(room) = self.rooms.get(group) {
            self.report_gap(&room);
        }
    }

    /// Subscribes a socket to a member's group.
    fn enter_room(&self, member: &Member, subscriber: &Arc<Subscriber>) -> Arc<Room> {
        let room = self.rooms.enter(member, subscriber);
        self.presence.on_socket_joined(&room, subscriber);
        room
    }

    /// Queries the other nodes for a room that has just opened; does nothing for other rooms.
    fn initialize_room(&self, room: &Room) {
        if self.presence.query_room_once(room) {
            // An event may have been stored between the read of the member's head and the topic's subscription.
            self.report_gap(room);
        }
    }

    /// Ends a subscription.
    fn leave_room(&self, room: &Arc<Room>, subscriber: &Arc<Subscriber>) {
        room.remove_subscriber(subscriber);
        self.presence.on_socket_left(room, subscriber);
        self.rooms.close_if_empty(room);
    }

    /// Ends the typing of users whose nodes send no further event.
    pub async fn run_typing_expiry(self: Arc<Self>) {
        let mut tick = interval(TYPING_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // A room in which a user starts to type in the meantime is added again.
            let rooms = mem::take(&mut *self.typing_rooms());
            for (id, room) in rooms {
                if room.expire_typing() {
                    self.typing_rooms().insert(id, room);
                }
            }
        }
    }

    /// Requests a comparison of a room with the log. Returns `false` if a comparison was requested before.
    fn report_gap(&self, room: &Room) -> bool {
        let is_new = room.mark_gap_reported();
        if is_new {
            // The gap repair runs as long as the process.
            let _ = self.gap_reports.send(room.name.clone());
        }
        is_new
    }

    fn typing_rooms(&self) -> MutexGuard<'_, HashMap<i64, Arc<Room>>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.typing_rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
