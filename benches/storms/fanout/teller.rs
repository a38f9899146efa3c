//! The task that tells a node's listeners of a group what has come: `src/channels/hub/telling.rs`.

use crate::{
    chance::Chance,
    clock::{Nanos, in_seconds, micros, seconds},
    figures::Figures,
    station::Spread,
};

/// Events of one write past the tasks, and of one turn of a task: `AT_ONCE` of `telling.rs`,
/// `BATCH` of `tail.rs`.
const AT_ONCE: usize = 64;

/// Bytes of one write past the tasks: `BYTES_AT_ONCE` of `telling.rs`.
const BYTES_AT_ONCE: f64 = 16.0 * 1024.0;

/// What TCP and IP add, which is no part of that.
const HEADERS: f64 = 60.0;

/// Events that are simulated, and listeners that are looked at for each.
const EVENTS: usize = 20_000;
const LOOKED_AT: usize = 4;

pub struct Teller<'a> {
    pub figures: &'a Figures,
    pub listeners: f64,
    /// Whether what waits is told together.
    pub is_batched: bool,
}

#[derive(Default)]
pub struct Told {
    /// Of the time.
    pub busy: f64,
    /// Events of a round.
    pub batch: f64,
    /// From the commit to the write.
    pub delays: Spread,
}

impl Teller<'_> {
    /// Has so many events a second come at random, and tells them.
    pub fn tell(&self, rate: f64, chance: &mut Chance) -> Told {
        let mut told = Told::default();
        let arrivals = self.arrivals(rate, chance);
        let (mut free, mut at, mut rounds, mut work): (Nanos, usize, f64, Nanos) = (0, 0, 0.0, 0);
        while let Some(&(_, first)) = arrivals.get(at) {
            let begin = free.max(first);
            let waiting = arrivals
                .iter()
                .skip(at)
                .take_while(|(_, heard)| *heard <= begin);
            let count = if self.is_batched {
                waiting.take(AT_ONCE * 16).count()
            } else {
                1
            };
            let takes = micros(self.round_us(count));
            for (stored, _) in arrivals.iter().skip(at).take(count) {
                for _ in 0..LOOKED_AT {
                    told.delays.add(begin + chance.below(takes) - stored);
                }
            }
            (free, at, rounds, work) = (begin + takes, at + count, rounds + 1.0, work + takes);
        }
        let end = free.max(arrivals.last().map_or(0, |(_, heard)| *heard));
        told.busy = in_seconds(work) / in_seconds(end);
        told.batch = arrivals.len() as f64 / rounds;
        told
    }

    /// When events are stored, and when a node hears of them: Redis hands each to one node after
    /// the other.
    fn arrivals(&self, rate: f64, chance: &mut Chance) -> Vec<(Nanos, Nanos)> {
        let nodes = u64::from(self.figures.nodes);
        let (mut stored, mut free) = (0, 0);
        let mut arrivals = Vec::with_capacity(EVENTS);
        for _ in 0..EVENTS {
            stored += seconds(chance.until(1.0 / rate));
            let begin = stored.max(free);
            free = begin + micros(self.figures.published_us((nodes - 1) as f64));
            let place = chance.below(nodes) as f64;
            arrivals.push((stored, begin + micros(self.figures.published_us(place))));
        }
        // What overtakes another is put in order, which costs nothing here.
        arrivals.sort_unstable();
        let mut latest = 0;
        for (_, heard) in &mut arrivals {
            latest = latest.max(*heard);
            *heard = latest;
        }
        arrivals
    }

    /// Events a second that it can tell, if as many as may be are told at once.
    pub fn most(&self) -> f64 {
        if !self.is_batched {
            return 1e6 / self.round_us(1);
        }
        self.most_by_one_task().max(self.most_by_all_tasks())
    }

    pub fn most_by_one_task(&self) -> f64 {
        let events = self.most_at_once();
        1e6 * events as f64 / self.round_us(events)
    }

    pub fn most_by_all_tasks(&self) -> f64 {
        1e6 * AT_ONCE as f64 / self.turns_us(AT_ONCE)
    }

    /// Events that one write past the tasks may have.
    fn most_at_once(&self) -> usize {
        (1..=AT_ONCE)
            .take_while(|events| self.fits(*events))
            .last()
            .unwrap_or(1)
    }

    fn fits(&self, events: usize) -> bool {
        let bytes = events as f64 * (self.figures.wire_bytes - HEADERS);
        events <= AT_ONCE && bytes <= BYTES_AT_ONCE || events == 1
    }

    /// How long a round of so many events takes: past the tasks, or where they are too many for
    /// that, by them.
    fn round_us(&self, events: usize) -> f64 {
        if !self.fits(events) {
            return self.turns_us(events);
        }
        self.listeners * (self.figures.delivery_us + self.more(events))
    }

    /// The same by the sockets' tasks, on all cores.
    fn turns_us(&self, events: usize) -> f64 {
        let turns = events.div_ceil(AT_ONCE) as f64;
        let of_each = turns * self.figures.turn_us + self.more(events);
        self.listeners * of_each / f64::from(self.figures.cores)
    }

    fn more(&self, events: usize) -> f64 {
        events.saturating_sub(1) as f64 * self.figures.more_us
    }
}
