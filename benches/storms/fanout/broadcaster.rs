//! Simulates the task that broadcasts events to a node's sockets of a group:
//! `src/channels/delivery/broadcast.rs`.

use crate::{
    clock::{Nanos, micros, seconds, to_seconds},
    core_pool::Samples,
    parameters::Parameters,
    rng::Rng,
};

/// The limit of events in one direct write and in one turn of a socket's task.
///
/// They are `MAX_DIRECT_EVENTS` of `broadcast.rs` and `BATCH_EVENTS` of `event_buffer.rs`.
const EVENTS_PER_WRITE: usize = 64;

/// The limit of bytes in one direct write. `MAX_DIRECT_BYTES` of `broadcast.rs` is 64 KiB.
const BYTES_PER_WRITE: f64 = 16.0 * 1024.0;

/// The headers of TCP and IP, which do not count for this limit.
const TCP_IP_HEADER_BYTES: f64 = 60.0;

/// The number of simulated events.
const SIMULATED_EVENTS: usize = 20_000;
/// The number of sockets whose delay is sampled for each event.
const SAMPLED_SUBSCRIBERS: usize = 4;

/// The broadcast task of one group on one node.
pub struct Broadcaster<'a> {
    /// The parameters.
    pub parameters: &'a Parameters,
    /// The number of sockets.
    pub subscribers: f64,
    /// `true` if waiting events share a write.
    pub is_batched: bool,
}

/// The results of a simulation.
#[derive(Default)]
pub struct BroadcastStats {
    /// The busy share of the time.
    pub utilization: f64,
    /// The average number of events in a round.
    pub events_per_round: f64,
    /// The delays from the commit to the write.
    pub delays: Samples,
}

impl Broadcaster<'_> {
    /// Simulates events that arrive randomly at a rate, and their delivery.
    pub fn simulate(&self, rate: f64, rng: &mut Rng) -> BroadcastStats {
        let mut stats = BroadcastStats::default();
        let arrivals = self.arrivals(rate, rng);
        let (mut free, mut index, mut rounds, mut work): (Nanos, usize, f64, Nanos) =
            (0, 0, 0.0, 0);
        while let Some(&(_, first)) = arrivals.get(index) {
            let start = free.max(first);
            let waiting = arrivals
                .iter()
                .skip(index)
                .take_while(|(_, received)| *received <= start);
            let count = if self.is_batched {
                waiting.take(EVENTS_PER_WRITE * 16).count()
            } else {
                1
            };
            let duration = micros(self.round_us(count));
            for (stored, _) in arrivals.iter().skip(index).take(count) {
                for _ in 0..SAMPLED_SUBSCRIBERS {
                    stats.delays.add(start + rng.below(duration) - stored);
                }
            }
            free = start + duration;
            index += count;
            rounds += 1.0;
            work += duration;
        }
        let end = free.max(arrivals.last().map_or(0, |(_, received)| *received));
        stats.utilization = to_seconds(work) / to_seconds(end);
        stats.events_per_round = arrivals.len() as f64 / rounds;
        stats
    }

    /// Returns for each event the time of its commit and the time at which a node receives it.
    ///
    /// Redis pushes an event to one node after the other.
    fn arrivals(&self, rate: f64, rng: &mut Rng) -> Vec<(Nanos, Nanos)> {
        let nodes = u64::from(self.parameters.nodes);
        let (mut stored, mut free) = (0, 0);
        let mut arrivals = Vec::with_capacity(SIMULATED_EVENTS);
        for _ in 0..SIMULATED_EVENTS {
            stored += seconds(rng.exponential(1.0 / rate));
            let start = stored.max(free);
            free = start + micros(self.parameters.published_us((nodes - 1) as f64));
            let position = rng.below(nodes) as f64;
            arrivals.push((
                stored,
                start + micros(self.parameters.published_us(position)),
            ));
        }
        // The sequencer puts events in order, at no simulated cost.
        arrivals.sort_unstable();
        let mut latest = 0;
        for (_, received) in &mut arrivals {
            latest = latest.max(*received);
            *received = latest;
        }
        arrivals
    }

    /// Returns the largest rate that can be delivered, if each write has as many events as
    /// possible.
    pub fn max_rate(&self) -> f64 {
        if !self.is_batched {
            return 1e6 / self.round_us(1);
        }
        self.max_rate_of_broadcast_task()
            .max(self.max_rate_of_socket_tasks())
    }

    /// Returns the largest rate by direct writes of the broadcast task.
    pub fn max_rate_of_broadcast_task(&self) -> f64 {
        let events = self.max_events_per_write();
        1e6 * events as f64 / self.round_us(events)
    }

    /// Returns the largest rate by the sockets' own tasks.
    pub fn max_rate_of_socket_tasks(&self) -> f64 {
        1e6 * EVENTS_PER_WRITE as f64 / self.socket_tasks_us(EVENTS_PER_WRITE)
    }

    /// Returns the largest number of events in one direct write.
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

    /// Returns the CPU time of a round: by direct writes, or by the sockets' tasks if the events do
    /// not fit.
    fn round_us(&self, events: usize) -> f64 {
        if !self.fits_in_one_write(events) {
            return self.socket_tasks_us(events);
        }
        self.subscribers * (self.parameters.delivery_us + self.additional_events_us(events))
    }

    /// Returns the time of a round by the sockets' tasks, on all cores.
    fn socket_tasks_us(&self, events: usize) -> f64 {
        let turns = events.div_ceil(EVENTS_PER_WRITE) as f64;
        let us_each = turns * self.parameters.turn_us + self.additional_events_us(events);
        self.subscribers * us_each / f64::from(self.parameters.cores)
    }

    fn additional_events_us(&self, events: usize) -> f64 {
        events.saturating_sub(1) as f64 * self.parameters.more_us
    }
}
