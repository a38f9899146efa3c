//! The task that tells a node's listeners of a group what has come: `src/channels/hub/broadcast.rs`.

use crate::{
    clock::{Nanos, micros, seconds, to_seconds},
    core_pool::Samples,
    parameters::Parameters,
    rng::Rng,
};

/// Events of one write past the tasks, and of one turn of a task: `AT_ONCE` of `telling.rs`,
/// `BATCH` of `tail.rs`.
const EVENTS_PER_WRITE: usize = 64;

/// Bytes of one write past the tasks: `BYTES_AT_ONCE` of `telling.rs`.
const BYTES_PER_WRITE: f64 = 16.0 * 1024.0;

/// What TCP and IP add, which is no part of that.
const TCP_IP_HEADER_BYTES: f64 = 60.0;

/// Events that are simulated, and listeners that are looked at for each.
const SIMULATED_EVENTS: usize = 20_000;
const SAMPLED_SUBSCRIBERS: usize = 4;

pub struct Broadcaster<'a> {
    pub parameters: &'a Parameters,
    pub subscribers: f64,
    /// Whether what waits is told together.
    pub is_batched: bool,
}

#[derive(Default)]
pub struct BroadcastStats {
    /// Of the time.
    pub utilization: f64,
    /// Events of a round.
    pub events_per_round: f64,
    /// From the commit to the write.
    pub delays: Samples,
}

impl Broadcaster<'_> {
    /// Has so many events a second come at random, and tells them.
    pub fn simulate(&self, rate: f64, chance: &mut Rng) -> BroadcastStats {
        let mut told = BroadcastStats::default();
        let arrivals = self.arrivals(rate, chance);
        let (mut free, mut at, mut rounds, mut work): (Nanos, usize, f64, Nanos) = (0, 0, 0.0, 0);
        while let Some(&(_, first)) = arrivals.get(at) {
            let begin = free.max(first);
            let waiting = arrivals
                .iter()
                .skip(at)
                .take_while(|(_, heard)| *heard <= begin);
            let count = if self.is_batched {
                waiting.take(EVENTS_PER_WRITE * 16).count()
            } else {
                1
            };
            let takes = micros(self.round_us(count));
            for (stored, _) in arrivals.iter().skip(at).take(count) {
                for _ in 0..SAMPLED_SUBSCRIBERS {
                    told.delays.add(begin + chance.below(takes) - stored);
                }
            }
            (free, at, rounds, work) = (begin + takes, at + count, rounds + 1.0, work + takes);
        }
        let end = free.max(arrivals.last().map_or(0, |(_, heard)| *heard));
        told.utilization = to_seconds(work) / to_seconds(end);
        told.events_per_round = arrivals.len() as f64 / rounds;
        told
    }

    /// When events are stored, and when a node hears of them: Redis hands each to one node after
    /// the other.
    fn arrivals(&self, rate: f64, chance: &mut Rng) -> Vec<(Nanos, Nanos)> {
        let nodes = u64::from(self.parameters.nodes);
        let (mut stored, mut free) = (0, 0);
        let mut arrivals = Vec::with_capacity(SIMULATED_EVENTS);
        for _ in 0..SIMULATED_EVENTS {
            stored += seconds(chance.exponential(1.0 / rate));
            let begin = stored.max(free);
            free = begin + micros(self.parameters.published_us((nodes - 1) as f64));
            let place = chance.below(nodes) as f64;
            arrivals.push((stored, begin + micros(self.parameters.published_us(place))));
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
    pub fn max_rate(&self) -> f64 {
        if !self.is_batched {
            return 1e6 / self.round_us(1);
        }
        self.max_rate_of_broadcast_task()
            .max(self.max_rate_of_socket_tasks())
    }

    pub fn max_rate_of_broadcast_task(&self) -> f64 {
        let events = self.max_events_per_write();
        1e6 * events as f64 / self.round_us(events)
    }

    pub fn max_rate_of_socket_tasks(&self) -> f64 {
        1e6 * EVENTS_PER_WRITE as f64 / self.socket_tasks_us(EVENTS_PER_WRITE)
    }

    /// Events that one write past the tasks may have.
    fn max_events_per_write(&self) -> usize {
        (1..=EVENTS_PER_WRITE)
            .take_while(|events| self.fits_in_one_write(*events))
            .last()
            .unwrap_or(1)
    }

    fn fits_in_one_write(&self, events: usize) -> bool {
        let bytes = events as f64 * (self.parameters.wire_bytes - TCP_IP_HEADER_BYTES);
        events <= EVENTS_PER_WRITE && bytes <= BYTES_PER_WRITE || events == 1
    }

    /// How long a round of so many events takes: past the tasks, or where they are too many for
    /// that, by them.
    fn round_us(&self, events: usize) -> f64 {
        if !self.fits_in_one_write(events) {
            return self.socket_tasks_us(events);
        }
        self.subscribers * (self.parameters.delivery_us + self.additional_events_us(events))
    }

    /// The same by the sockets' tasks, on all cores.
    fn socket_tasks_us(&self, events: usize) -> f64 {
        let turns = events.div_ceil(EVENTS_PER_WRITE) as f64;
        let of_each = turns * self.parameters.turn_us + self.additional_events_us(events);
        self.subscribers * of_each / f64::from(self.parameters.cores)
    }

    fn additional_events_us(&self, events: usize) -> f64 {
        events.saturating_sub(1) as f64 * self.parameters.more_us
    }
}
