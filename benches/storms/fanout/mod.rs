//! Simulates a group so large that it has sockets on every node.
//!
//! On each node, one task writes each event to all sockets of a group, one after the other
//! (`Room::run_broadcast`). Events that arrive during a round share the next round, in one write
//! for each socket. The sockets' own tasks, which run on all cores, deliver events that do not fit
//! into one write.

mod broadcaster;
mod ephemeral;

use std::io::{Result, Write};

use self::broadcaster::{BroadcastStats, Broadcaster};
use crate::{
    clock::to_seconds,
    parameters::Parameters,
    rng::Rng,
    table::{Table, format_number, format_percent},
};

const ONLINE: [u32; 3] = [10_000, 100_000, 1_000_000];
const EVENTS_PER_S: [f64; 3] = [10.0, 100.0, 1000.0];

/// The utilization above which delays grow without a limit.
const MAX_UTILIZATION: f64 = 0.98;

/// The capacity of a node's network, in bits a second (assumed).
const NETWORK_BITS_PER_S: f64 = 10e9;

/// Prints all tables of large groups.
pub fn print(out: &mut impl Write, parameters: &Parameters, seed: u64) -> Result<()> {
    print_broadcasts(out, parameters, seed)?;
    print_limits(out, parameters)?;
    ephemeral::print(out, parameters)
}

/// Prints the deliveries of one node and their delays.
fn print_broadcasts(out: &mut impl Write, parameters: &Parameters, seed: u64) -> Result<()> {
    let mut table = Table::new([
        "online, nodes, events/s",
        "sockets a node",
        "deliveries/s a node",
        "network of a node, Mbit/s",
        "broadcast task, of a core",
        "events a round",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p99 ms, one write for each event",
        "Redis, of a core",
    ]);
    for online in ONLINE {
        for nodes in [parameters.nodes, parameters.nodes * 5] {
            let parameters = Parameters {
                nodes,
                ..parameters.clone()
            };
            for rate in EVENTS_PER_S {
                table.add_row(broadcast_row(&parameters, online, rate, seed));
            }
        }
    }
    let description = "From the commit on one node to the write on another, without the network. Events \
                       that arrive during a broadcast wait, and share the next write.";
    table.print(out, "A large group", description)
}

fn broadcast_row(parameters: &Parameters, online: u32, rate: f64, seed: u64) -> [String; 11] {
    let nodes = f64::from(parameters.nodes);
    let sockets = f64::from(online) / nodes;
    let [batched, unbatched] = [true, false].map(|is_batched| Broadcaster {
        parameters,
        subscribers: sockets,
        is_batched,
    });
    let stats = batched.simulate(rate, &mut Rng::new(seed));
    let (share, batch) = (
        format_percent(stats.utilization),
        format_number(stats.events_per_round),
    );
    let [p50, p99, max] = format_delays(&batched, rate, stats);
    let stats = unbatched.simulate(rate, &mut Rng::new(seed));
    let [_, unbatched_p99, _] = format_delays(&unbatched, rate, stats);
    let deliveries = rate * sockets;
    [
        format!("{}, {nodes}, {rate}", format_number(online.into())),
        format_number(sockets),
        format_number(deliveries),
        format_number(deliveries * parameters.wire_bytes * 8.0 / 1e6),
        share,
        batch,
        p50,
        p99,
        max,
        unbatched_p99,
        format_percent(rate * parameters.published_us(nodes - 1.0) / 1e6),
    ]
}

/// Returns the median, the 99th percentile and the maximum in milliseconds, if the delays do not
/// grow without a limit.
fn format_delays(broadcaster: &Broadcaster, rate: f64, stats: BroadcastStats) -> [String; 3] {
    if rate > broadcaster.max_rate() * MAX_UTILIZATION {
        return ["", "falls behind", ""].map(ToOwned::to_owned);
    }
    let delays = stats.delays.per_mille([500, 990, 1000]);
    delays.map(|nanos| format_number(1000.0 * to_seconds(nanos)))
}

/// Prints the largest event rate of one group, for each resource that limits the rate.
fn print_limits(out: &mut impl Write, parameters: &Parameters) -> Result<()> {
    let mut table = Table::new([
        "online",
        "nodes",
        "one write for each event",
        "as many events as fit into a write",
        "sockets' tasks, all cores",
        "network of 10 Gbit/s",
        "one Redis",
        "one Redis, 16 events a publication",
        "the group's row in PostgreSQL",
    ]);
    for online in ONLINE {
        for nodes in [
            parameters.nodes,
            parameters.nodes * 5,
            parameters.nodes * 20,
        ] {
            let sockets = f64::from(online) / f64::from(nodes);
            let broadcaster = Broadcaster {
                parameters,
                subscribers: sockets,
                is_batched: true,
            };
            let published = parameters.published_us(f64::from(nodes) - 1.0);
            let limits = [
                1e6 / (sockets * parameters.delivery_us),
                broadcaster.max_rate_of_broadcast_task(),
                broadcaster.max_rate_of_socket_tasks(),
                NETWORK_BITS_PER_S / (sockets * parameters.wire_bytes * 8.0),
                1e6 / published,
                16.0 * 1e6 / published,
                // One group alone, as `benches/appends.rs` measures it.
                parameters.appends_per_s,
            ];
            let [unbatched, batched, tasks, network, redis, coalesced, row] =
                limits.map(format_number);
            let (online, nodes) = (format_number(online.into()), nodes.to_string());
            table.add_row([
                online, nodes, unbatched, batched, tasks, network, redis, coalesced, row,
            ]);
        }
    }
    let description = "The event rate of one group at which each resource is fully busy, in events a second. \
                       The smallest figure of a row is the limit.";
    table.print(out, "Limits of one group", description)
}
