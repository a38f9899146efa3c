//! The groups that are active on each node: whether one is there already, and what its ring has.

use std::iter::repeat_with;

use crate::{
    chance::{mix, scale},
    clock::{Nanos, SECOND},
    figures::Figures,
};

/// How long a group stays active for who may come back: `presence_grace`.
const GRACE: Nanos = 10 * SECOND;

#[derive(Clone, Default)]
struct Room {
    listeners: u32,
    open_until: Nanos,
    /// All that came after this is in the ring.
    kept_since: Nanos,
}

/// What a socket finds that takes a place.
pub struct Found {
    pub is_new: bool,
    /// Other nodes on which the group is active.
    pub others: f64,
}

pub struct Rooms {
    rooms: Vec<Room>,
    nodes: usize,
    groups: u64,
    of_each: u64,
    seed: u64,
}

impl Rooms {
    pub fn new(nodes: usize, figures: &Figures, seed: u64) -> Self {
        let groups = figures.all_groups();
        let count = nodes * usize::try_from(groups).unwrap_or(0);
        Self {
            rooms: repeat_with(Room::default).take(count).collect(),
            nodes,
            groups,
            of_each: figures.groups.into(),
            seed,
        }
    }

    /// The groups of a client: always the same, and scattered over all.
    pub fn groups_of(&self, client: usize) -> impl Iterator<Item = usize> + use<> {
        let (groups, seed) = (self.groups, self.seed);
        let first = client as u64 * self.of_each;
        (first..first + self.of_each)
            .map(move |place| usize::try_from(scale(mix(seed ^ mix(place)), groups)).unwrap_or(0))
    }

    pub fn enter(&mut self, group: usize, node: usize, now: Nanos) -> Found {
        let first = group * self.nodes;
        let here = self.rooms.get(first..first + self.nodes);
        let is_open = |room: &Room| room.listeners > 0 || room.open_until > now;
        let open = here.into_iter().flatten().filter(|room| is_open(room));
        let open = open.count();
        let Some(room) = self.rooms.get_mut(first + node) else {
            return Found {
                is_new: false,
                others: 0.0,
            };
        };
        let is_new = !is_open(room);
        if is_new {
            room.kept_since = now;
        }
        room.listeners += 1;
        let others = open - usize::from(!is_new);
        Found {
            is_new,
            others: others as f64,
        }
    }

    pub fn leave(&mut self, group: usize, node: usize, now: Nanos) {
        let room = self.rooms.get_mut(group * self.nodes + node);
        // With a process that was killed they are gone already.
        if let Some(room) = room.filter(|room| room.listeners > 0) {
            room.listeners -= 1;
            if room.listeners == 0 {
                room.open_until = now + GRACE;
            }
        }
    }

    /// Whether who misses what came since then must read the log. The next finds it kept.
    pub fn must_read(&mut self, group: usize, node: usize, since: Nanos) -> bool {
        let room = self.rooms.get_mut(group * self.nodes + node);
        room.is_some_and(|room| {
            let is_older = room.kept_since > since;
            room.kept_since = room.kept_since.min(since);
            is_older
        })
    }

    /// A process ends, with all that it has kept.
    pub fn forget(&mut self, node: usize) {
        for room in self.rooms.iter_mut().skip(node).step_by(self.nodes) {
            *room = Room::default();
        }
    }
}
