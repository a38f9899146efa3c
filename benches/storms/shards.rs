//! Redis Cluster with sharded pub/sub: which of its servers is the hottest where few groups are
//! busy and most are not.
//!
//! A group is one topic, a topic one slot, a slot one server: what the busiest group needs cannot
//! be shared out.

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

/// Publications of all groups together.
const PUBLICATIONS_PER_S: f64 = 100_000.0;

/// Nodes of the whole, and sockets that listen to the largest group. The least has two.
const NODE_COUNT: f64 = 100.0;
const LARGEST_GROUP_SOCKETS: f64 = 100_000.0;

/// Publications of one group in a second where each node gathers for 5 ms what it has to say to it,
/// and the events of a group are made by few nodes.
const BATCHED_PUBLICATIONS_PER_S: f64 = 200.0;

/// A server that is busier than this is slow to answer.
const MAX_UTILIZATION: f64 = 0.7;

pub fn print(out: &mut impl Write, figures: &Parameters, seed: u64) -> Result<()> {
    let mut table = Table::new([
        "Zipf, servers",
        "busiest group's share",
        "mean load",
        "hottest",
        "hottest / mean",
        "hottest, gathered for 5 ms",
        "publications/s until it is full",
    ]);
    for exponent in EXPONENTS {
        let sum: f64 = zipf(exponent).take(GROUP_COUNT).sum();
        for shards in SERVER_COUNTS {
            let loads = |most| {
                shard_loads(
                    figures,
                    seed,
                    shards,
                    zipf(exponent).map(|share| share / sum),
                    most,
                )
            };
            let (plain, gathered) = (loads(f64::INFINITY), loads(BATCHED_PUBLICATIONS_PER_S));
            let hottest = |loads: &[f64]| loads.iter().copied().fold(0.0, f64::max);
            let mean = plain.iter().sum::<f64>() / shards as f64;
            let [plain, gathered] = [hottest(&plain), hottest(&gathered)];
            table.add_row([
                format!("{exponent}, {shards}"),
                format_percent(1.0 / sum),
                format_percent(mean),
                format_percent(plain),
                format_number(plain / mean),
                format_percent(gathered),
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

/// How busy each server is, where no group has more than so many publications a second.
fn shard_loads(
    figures: &Parameters,
    seed: u64,
    shards: u64,
    shares: impl Iterator<Item = f64>,
    most: f64,
) -> Vec<f64> {
    let mut loads = vec![0.0; usize::try_from(shards).unwrap_or(0)];
    let mut listeners = zipf(1.0).map(|share| (LARGEST_GROUP_SOCKETS * share).max(2.0));
    for (group, share) in (0..).zip(shares.take(GROUP_COUNT)) {
        let hearing = nodes_with_any(NODE_COUNT, listeners.next().unwrap_or(2.0));
        let slot = scale_below(mix(seed ^ mix(group)), SLOTS);
        // A server has a run of slots.
        let shard = usize::try_from(slot * shards / SLOTS).unwrap_or(0);
        if let Some(load) = loads.get_mut(shard) {
            *load +=
                (PUBLICATIONS_PER_S * share).min(most) * figures.published_us(hearing - 1.0) / 1e6;
        }
    }
    loads
}
