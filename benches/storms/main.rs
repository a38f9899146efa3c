//! What no machine at hand can show: a million sockets that come back at once, a group of a
//! million, and what it takes to serve so many. Simulated, from figures that were measured on a
//! small one.
//!
//! The same seed and the same figures give the same tables, byte for byte.
//!
//! `cargo run --release -p salam-benches --bin storms -- reconnect --nodes 20`

mod chance;
mod clock;
mod fanout;
mod figures;
mod reconnect;
mod shards;
mod sizes;
mod station;
mod table;

use std::io::{BufWriter, Result, Write, stdout};

use clap::{Parser, ValueEnum};

use self::figures::Figures;

#[derive(Parser)]
struct Arguments {
    /// What to simulate
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Where chance begins
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
    #[command(flatten)]
    figures: Figures,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    /// Sockets that come back after a loss
    Reconnect,
    /// A group with listeners on all nodes
    Fanout,
    /// The busiest server of a Redis Cluster
    Shards,
    /// What a million sockets and more need
    Sizes,
}

fn main() -> Result<()> {
    let Arguments {
        what,
        seed,
        figures,
    } = Arguments::parse();
    let mut out = BufWriter::new(stdout().lock());
    let is_wanted = |one| what == What::All || what == one;
    if is_wanted(What::Reconnect) {
        reconnect::print(&mut out, &figures, seed)?;
    }
    if is_wanted(What::Fanout) {
        fanout::print(&mut out, &figures, seed)?;
    }
    if is_wanted(What::Shards) {
        shards::print(&mut out, &figures, seed)?;
    }
    if is_wanted(What::Sizes) {
        sizes::print(&mut out, &figures)?;
    }
    out.flush()
}
