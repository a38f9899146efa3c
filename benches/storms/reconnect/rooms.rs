//! The groups that are active on each node: whether one is there already, and what its ring has.

use std::iter::repeat_with;

use crate::{
    clock::{Nanos, SECOND},
    parameters::Parameters,
    rng::{mix, scale_below},
};

/// How long a group stays active for who may come back: `presence_grace`.
const PRESENCE_GRACE: Nanos = 10 * SECOND;

#[derive(Clone, Default)]
struct SimulatedRoom {
    subscribers: u32,
    open_until: Nanos,
    /// All that came after this is in the ring.
    buffered_since: Nanos,
}

/// What a socket finds that takes a place.
pub struct RoomState {
    pub is_new: bool,
    /// Other nodes on which the group is active.
    pub other_nodes: f64,
}

pub struct Rooms {
    rooms: Vec<SimulatedRoom>,
    nodes: usize,
    groups: u64,
    groups_per_socket: u64,
    seed: u64,
}

impl Rooms {
    pub fn new(nodes: usize, figures: &Parameters, seed: u64) -> Self {
        let groups = figures.all_groups();
        let count = nodes * usize::try_from(groups).unwrap_or(0);
        Self {
            rooms: repeat_with(SimulatedRoom::default).take(count).collect(),
            nodes,
            groups,
            groups_per_socket: figures.groups.into(),
            seed,
        }
    }

    /// The groups of a client: always the same, and scattered over all.
    pub fn groups_of(&self, client: usize) -> impl Iterator<Item = usize> + use<> {
        let (groups, seed) = (self.groups, self.seed);
        let first = client as u64 * self.groups_per_socket;
        (first..first + self.groups_per_socket).map(move |place| {
            usize::try_from(scale_below(mix(seed ^ mix(place)), groups)).unwrap_or(0)
        })
    }

    pub fn enter(&mut self, group: usize, node: usize, now: Nanos) -> RoomState {
        let first = group * self.nodes;
        let here = self.rooms.get(first..first + self.nodes);
        let is_open = |room: &SimulatedRoom| room.subscribers > 0 || room.open_until > now;
        let open = here.into_iter().flatten().filter(|room| is_open(room));
        let open = open.count();
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
        let others = open - usize::from(!is_new);
        RoomState {
            is_new,
            other_nodes: others as f64,
        }
    }

    pub fn leave(&mut self, group: usize, node: usize, now: Nanos) {
        let room = self.rooms.get_mut(group * self.nodes + node);
        // With a process that was killed they are gone already.
        if let Some(room) = room.filter(|room| room.subscribers > 0) {
            room.subscribers -= 1;
            if room.subscribers == 0 {
                room.open_until = now + PRESENCE_GRACE;
            }
        }
    }

    /// Whether who misses what came since then must read the log. The next finds it kept.
    pub fn must_read_log(&mut self, group: usize, node: usize, since: Nanos) -> bool {
        let room = self.rooms.get_mut(group * self.nodes + node);
        room.is_some_and(|room| {
            let is_older = room.buffered_since > since;
            room.buffered_since = room.buffered_since.min(since);
            is_older
        })
    }

    /// A process ends, with all that it has kept.
    pub fn reset_node(&mut self, node: usize) {
        for room in self.rooms.iter_mut().skip(node).step_by(self.nodes) {
            *room = SimulatedRoom::default();
        }
    }
}
