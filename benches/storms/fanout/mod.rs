//! A group so large that it has listeners on every node.
//!
//! On each node one task tells all listeners of a group, one after the other (`SimulatedRoom::run_broadcast`); what
//! comes meanwhile is told in the next round, in one write for each socket. More than a write takes
//! is left to the sockets' own tasks, which run on all cores.

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

/// More than this share of what can be told has no time in which it is.
const MAX_UTILIZATION: f64 = 0.98;

/// What a node's network takes, in bits a second (assumed).
const NETWORK_BITS_PER_S: f64 = 10e9;

pub fn print(out: &mut impl Write, figures: &Parameters, seed: u64) -> Result<()> {
    print_broadcasts(out, figures, seed)?;
    print_limits(out, figures)?;
    ephemeral::print(out, figures)
}

/// What one node tells, and when it arrives.
fn print_broadcasts(out: &mut impl Write, figures: &Parameters, seed: u64) -> Result<()> {
    let mut table = Table::new([
        "online, nodes, events/s",
        "listeners a node",
        "deliveries/s a node",
        "its network, Mbit/s",
        "teller, of a core",
        "events a round",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p99 ms, one write for each event",
        "Redis, of a core",
    ]);
    for online in ONLINE {
        for nodes in [figures.nodes, figures.nodes * 5] {
            let figures = Parameters {
                nodes,
                ..figures.clone()
            };
            for rate in EVENTS_PER_S {
                table.add_row(broadcast_row(&figures, online, rate, seed));
            }
        }
    }
    let about = "From the commit on one node to the write on another, without the network. What comes while \
                 the group is told of earlier events waits, and is told together.";
    table.print(out, "A large group", about)
}

fn broadcast_row(figures: &Parameters, online: u32, rate: f64, seed: u64) -> [String; 11] {
    let nodes = f64::from(figures.nodes);
    let listeners = f64::from(online) / nodes;
    let [batched, alone] = [true, false].map(|is_batched| Broadcaster {
        parameters: figures,
        subscribers: listeners,
        is_batched,
    });
    let told = batched.simulate(rate, &mut Rng::new(seed));
    let (share, batch) = (
        format_percent(told.utilization),
        format_number(told.events_per_round),
    );
    let [p50, p99, most] = format_delays(&batched, rate, told);
    let told = alone.simulate(rate, &mut Rng::new(seed));
    let [_, alone, _] = format_delays(&alone, rate, told);
    let deliveries = rate * listeners;
    [
        format!("{}, {nodes}, {rate}", format_number(online.into())),
        format_number(listeners),
        format_number(deliveries),
        format_number(deliveries * figures.wire_bytes * 8.0 / 1e6),
        share,
        batch,
        p50,
        p99,
        most,
        alone,
        format_percent(rate * figures.published_us(nodes - 1.0) / 1e6),
    ]
}

/// Half, 99 % and the longest of them in milliseconds, if they do not grow for ever.
fn format_delays(teller: &Broadcaster, rate: f64, told: BroadcastStats) -> [String; 3] {
    if rate > teller.max_rate() * MAX_UTILIZATION {
        return ["", "falls behind", ""].map(ToOwned::to_owned);
    }
    let delays = told.delays.per_mille([500, 990, 1000]);
    delays.map(|nanos| format_number(1000.0 * to_seconds(nanos)))
}

/// How many events a second one group may have, by what ends first.
fn print_limits(out: &mut impl Write, figures: &Parameters) -> Result<()> {
    let mut table = Table::new([
        "online",
        "nodes",
        "one write for each event",
        "as many as a write takes",
        "by the tasks, all cores",
        "network of 10 Gbit/s",
        "one Redis",
        "one Redis, 16 events a publication",
        "the group's row in PostgreSQL",
    ]);
    for online in ONLINE {
        for nodes in [figures.nodes, figures.nodes * 5, figures.nodes * 20] {
            let listeners = f64::from(online) / f64::from(nodes);
            let teller = Broadcaster {
                parameters: figures,
                subscribers: listeners,
                is_batched: true,
            };
            let published = figures.published_us(f64::from(nodes) - 1.0);
            let limits = [
                1e6 / (listeners * figures.delivery_us),
                teller.max_rate_of_broadcast_task(),
                teller.max_rate_of_socket_tasks(),
                NETWORK_BITS_PER_S / (listeners * figures.wire_bytes * 8.0),
                1e6 / published,
                16.0 * 1e6 / published,
                // One group alone, as `benches/appends.rs` measures it.
                figures.appends_per_s,
            ];
            let [alone, batched, tasks, network, redis, coalesced, row] = limits.map(format_number);
            let (online, nodes) = (format_number(online.into()), nodes.to_string());
            table.add_row([
                online, nodes, alone, batched, tasks, network, redis, coalesced, row,
            ]);
        }
    }
    let about = "Events a second that one group may have, by what would be busy all the time. The smallest \
                 of a row counts.";
    table.print(out, "Limits of one group", about)
}
