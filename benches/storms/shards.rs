//! Simulates Redis Cluster with sharded pub/sub: the load of its hottest server, if few groups are
//! busy.
//!
//! A group is one topic, a topic has one slot, and a slot has one server. So the load of the
//! busiest group cannot be shared between servers.

use std::io::{Result, Write};

use crate::{
    parameters::{Parameters, nodes_with_any},
    rng::{mix, scale_below, zipf},
    table::{Table, format_number, format_percent},
};

const SLOTS: u64 = 16_384;
const GROUP_COUNT: usize = 1_000_000;
const SERVER_COUNTS: [u64; 6] = [1, 3, 6, 12, 24, 48];
const EXPONENTS: [f64; 3] = [0.8, 1.0, 1.2];

/// The publications of all groups in a second.
const PUBLICATIONS_PER_S: f64 = 100_000.0;

/// The number of nodes.
const NODE_COUNT: f64 = 100.0;
/// The number of sockets of the largest group. The smallest group has two.
const LARGEST_GROUP_SOCKETS: f64 = 100_000.0;

/// The publications of one group in a second, if each node collects its events for 5 ms.
///
/// Few nodes create the events of a group.
const BATCHED_PUBLICATIONS_PER_S: f64 = 200.0;

/// The utilization above which a server is slow to reply.
const MAX_UTILIZATION: f64 = 0.7;

/// Prints the table of the hottest servers.
pub fn print(out: &mut impl Write, parameters: &Parameters, seed: u64) -> Result<()> {
    let mut table = Table::new([
        "Zipf, servers",
        "busiest group's share",
        "mean load",
        "hottest",
        "hottest / mean",
        "hottest, events batched for 5 ms",
        "publications/s until it is full",
    ]);
    for exponent in EXPONENTS {
        let sum: f64 = zipf(exponent).take(GROUP_COUNT).sum();
        for shards in SERVER_COUNTS {
            let loads = |max_rate| {
                shard_loads(
                    parameters,
                    seed,
                    shards,
                    zipf(exponent).map(|share| share / sum),
                    max_rate,
                )
            };
            let (plain, batched) = (loads(f64::INFINITY), loads(BATCHED_PUBLICATIONS_PER_S));
            let hottest = |loads: &[f64]| loads.iter().copied().fold(0.0, f64::max);
            let mean = plain.iter().sum::<f64>() / shards as f64;
            let [plain, batched] = [hottest(&plain), hottest(&batched)];
            table.add_row([
                format!("{exponent}, {shards}"),
                format_percent(1.0 / sum),
                format_percent(mean),
                format_percent(plain),
                format_number(plain / mean),
                format_percent(batched),
                format_number(PUBLICATIONS_PER_S * MAX_UTILIZATION / plain),
            ]);
        }
    }
    let about = format!(
        "{} groups, {} publications/s in all, {NODE_COUNT} nodes; the busiest group is the largest, with {} \
         sockets. Load is that of the one core of a server; it counts as full at 70 %.",
        format_number(GROUP_COUNT as f64),
        format_number(PUBLICATIONS_PER_S),
        format_number(LARGEST_GROUP_SOCKETS),
    );
    table.print(out, "Hot servers of a Redis Cluster", &about)
}

/// Returns the utilization of each server, if no group has more than `max_rate` publications a
/// second.
fn shard_loads(
    parameters: &Parameters,
    seed: u64,
    shards: u64,
    shares: impl Iterator<Item = f64>,
    max_rate: f64,
) -> Vec<f64> {
    let mut loads = vec![0.0; usize::try_from(shards).unwrap_or(0)];
    let mut socket_counts = zipf(1.0).map(|share| (LARGEST_GROUP_SOCKETS * share).max(2.0));
    for (group, share) in (0..).zip(shares.take(GROUP_COUNT)) {
        let subscribed_nodes = nodes_with_any(NODE_COUNT, socket_counts.next().unwrap_or(2.0));
        let slot = scale_below(mix(seed ^ mix(group)), SLOTS);
        // A server has a contiguous range of slots.
        let shard = usize::try_from(slot * shards / SLOTS).unwrap_or(0);
        if let Some(load) = loads.get_mut(shard) {
            *load += (PUBLICATIONS_PER_S * share).min(max_rate)
                * parameters.published_us(subscribed_nodes - 1.0)
                / 1e6;
        }
    }
    loads
}
