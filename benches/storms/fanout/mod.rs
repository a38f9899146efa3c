//! A group so large that it has listeners on every node.
//!
//! On each node one task tells all listeners of a group, one after the other (`Room::tell`); what
//! comes meanwhile is told in the next round, in one write for each socket. More than a write takes
//! is left to the sockets' own tasks, which run on all cores.

mod beside;
mod teller;

use std::io::{Result, Write};

use self::teller::{Teller, Told};
use crate::{
    chance::Chance,
    clock::in_seconds,
    figures::Figures,
    table::{Table, percent, short},
};

const ONLINE: [u32; 3] = [10_000, 100_000, 1_000_000];
const EVENTS_PER_S: [f64; 3] = [10.0, 100.0, 1000.0];

/// More than this share of what can be told has no time in which it is.
const FULL: f64 = 0.98;

/// What a node's network takes, in bits a second (assumed).
const NETWORK: f64 = 10e9;

pub fn print(out: &mut impl Write, figures: &Figures, seed: u64) -> Result<()> {
    told(out, figures, seed)?;
    limits(out, figures)?;
    beside::print(out, figures)
}

/// What one node tells, and when it arrives.
fn told(out: &mut impl Write, figures: &Figures, seed: u64) -> Result<()> {
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
            let figures = Figures {
                nodes,
                ..figures.clone()
            };
            for rate in EVENTS_PER_S {
                table.row(told_at(&figures, online, rate, seed));
            }
        }
    }
    let about = "From the commit on one node to the write on another, without the network. What comes while \
                 the group is told of earlier events waits, and is told together.";
    table.print(out, "A large group", about)
}

fn told_at(figures: &Figures, online: u32, rate: f64, seed: u64) -> [String; 11] {
    let nodes = f64::from(figures.nodes);
    let listeners = f64::from(online) / nodes;
    let [batched, alone] = [true, false].map(|is_batched| Teller {
        figures,
        listeners,
        is_batched,
    });
    let told = batched.tell(rate, &mut Chance::new(seed));
    let (share, batch) = (percent(told.busy), short(told.batch));
    let [p50, p99, most] = delays(&batched, rate, told);
    let told = alone.tell(rate, &mut Chance::new(seed));
    let [_, alone, _] = delays(&alone, rate, told);
    let deliveries = rate * listeners;
    [
        format!("{}, {nodes}, {rate}", short(online.into())),
        short(listeners),
        short(deliveries),
        short(deliveries * figures.wire_bytes * 8.0 / 1e6),
        share,
        batch,
        p50,
        p99,
        most,
        alone,
        percent(rate * figures.published_us(nodes - 1.0) / 1e6),
    ]
}

/// Half, 99 % and the longest of them in milliseconds, if they do not grow for ever.
fn delays(teller: &Teller, rate: f64, told: Told) -> [String; 3] {
    if rate > teller.most() * FULL {
        return ["", "falls behind", ""].map(ToOwned::to_owned);
    }
    let delays = told.delays.at([500, 990, 1000]);
    delays.map(|nanos| short(1000.0 * in_seconds(nanos)))
}

/// How many events a second one group may have, by what ends first.
fn limits(out: &mut impl Write, figures: &Figures) -> Result<()> {
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
            let teller = Teller {
                figures,
                listeners,
                is_batched: true,
            };
            let published = figures.published_us(f64::from(nodes) - 1.0);
            let limits = [
                1e6 / (listeners * figures.delivery_us),
                teller.most_by_one_task(),
                teller.most_by_all_tasks(),
                NETWORK / (listeners * figures.wire_bytes * 8.0),
                1e6 / published,
                16.0 * 1e6 / published,
                // One group alone, as `benches/appends.rs` measures it.
                figures.appends_per_s,
            ];
            let [alone, batched, tasks, network, redis, coalesced, row] = limits.map(short);
            let (online, nodes) = (short(online.into()), nodes.to_string());
            table.row([
                online, nodes, alone, batched, tasks, network, redis, coalesced, row,
            ]);
        }
    }
    let about = "Events a second that one group may have, by what would be busy all the time. The smallest \
                 of a row counts.";
    table.print(out, "Limits of one group", about)
}
