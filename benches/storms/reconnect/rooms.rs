//! The rooms of all nodes: whether a room is open, and how far back its event buffer reaches.

use std::iter::repeat_with;

use crate::{
    clock::{Nanos, SECOND},
    parameters::Parameters,
    rng::{mix, scale_below},
};

/// The time for which a room stays open after its last socket left: `presence_grace`.
const PRESENCE_GRACE: Nanos = 10 * SECOND;

#[derive(Clone, Default)]
struct SimulatedRoom {
    subscribers: u32,
    open_until: Nanos,
    /// The event buffer contains all events after this time.
    buffered_since: Nanos,
}

/// The state of a room when a socket enters it.
pub struct RoomState {
    /// `true` if the socket has opened the room.
    pub is_new: bool,
    /// The number of other nodes on which the room is open.
    pub other_nodes: f64,
}

/// The rooms of all groups on all nodes.
pub struct Rooms {
    rooms: Vec<SimulatedRoom>,
    nodes: usize,
    groups: u64,
    groups_per_socket: u64,
    seed: u64,
}

impl Rooms {
    /// Creates rooms without sockets.
    pub fn new(nodes: usize, parameters: &Parameters, seed: u64) -> Self {
        let groups = parameters.all_groups();
        let count = nodes * usize::try_from(groups).unwrap_or(0);
        Self {
            rooms: repeat_with(SimulatedRoom::default).take(count).collect(),
            nodes,
            groups,
            groups_per_socket: parameters.groups.into(),
            seed,
        }
    }

    /// Returns the groups of a client: always the same groups, distributed randomly.
    pub fn groups_of(&self, client: usize) -> impl Iterator<Item = usize> + use<> {
        let (groups, seed) = (self.groups, self.seed);
        let first = client as u64 * self.groups_per_socket;
        (first..first + self.groups_per_socket).map(move |index| {
            usize::try_from(scale_below(mix(seed ^ mix(index)), groups)).unwrap_or(0)
        })
    }

    /// Adds a socket to a room.
    pub fn enter(&mut self, group: usize, node: usize, now: Nanos) -> RoomState {
        let first = group * self.nodes;
        let rooms = self.rooms.get(first..first + self.nodes);
        let is_open = |room: &SimulatedRoom| room.subscribers > 0 || room.open_until > now;
        let open_rooms = rooms.into_iter().flatten().filter(|room| is_open(room));
        let open_rooms = open_rooms.count();
        let Some(room) = self.rooms.get_mut(first + node) else {
            return RoomState {
                is_new: false,
                other_nodes: 0.0,
            };
        };
        let is_new = !is_open(room);
        if is_new {
            room.buffered_since = now;
        }
        room.subscribers += 1;
        let others = open_rooms - usize::from(!is_new);
        RoomState {
            is_new,
            other_nodes: others as f64,
        }
    }

    /// Removes a socket from a room.
    pub fn leave(&mut self, group: usize, node: usize, now: Nanos) {
        let room = self.rooms.get_mut(group * self.nodes + node);
        // A killed process has already lost its rooms.
        if let Some(room) = room.filter(|room| room.subscribers > 0) {
            room.subscribers -= 1;
            if room.subscribers == 0 {
                room.open_until = now + PRESENCE_GRACE;
            }
        }
    }

    /// Returns `true` if a client that misses events since a time must read the log. The next
    /// client finds the events in the buffer.
    pub fn must_read_log(&mut self, group: usize, node: usize, since: Nanos) -> bool {
        let room = self.rooms.get_mut(group * self.nodes + node);
        room.is_some_and(|room| {
            let is_older = room.buffered_since > since;
            room.buffered_since = room.buffered_since.min(since);
            is_older
        })
    }

    /// Resets the rooms of a node whose process has ended.
    pub fn reset_node(&mut self, node: usize) {
        for room in self.rooms.iter_mut().skip(node).step_by(self.nodes) {
            *room = SimulatedRoom::default();
        }
    }
}
