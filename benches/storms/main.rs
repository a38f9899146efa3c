//! What no machine at hand can show: a million sockets that come back at once, a group of a
//! million, and what it takes to serve so many. Simulated, from figures that were measured on a
//! small one.
//!
//! The same seed and the same figures give the same tables, byte for byte.
//!
//! `cargo run --release -p salam-benches --bin storms -- reconnect --nodes 20`

mod clock;
mod core_pool;
mod fanout;
mod parameters;
mod reconnect;
mod rng;
mod shards;
mod sizes;
mod table;

use std::io::{BufWriter, Result, Write, stdout};

use clap::{Parser, ValueEnum};

use self::parameters::Parameters;

#[derive(Parser)]
struct Arguments {
    /// What to simulate
    #[arg(value_enum, default_value = "all")]
    what: Simulation,
    /// Where chance begins
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
    #[command(flatten)]
    parameters: Parameters,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Simulation {
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
        parameters: figures,
    } = Arguments::parse();
    let mut out = BufWriter::new(stdout().lock());
    let is_wanted = |one| what == Simulation::All || what == one;
    if is_wanted(Simulation::Reconnect) {
        reconnect::print(&mut out, &figures, seed)?;
    }
    if is_wanted(Simulation::Fanout) {
        fanout::print(&mut out, &figures, seed)?;
    }
    if is_wanted(Simulation::Shards) {
        shards::print(&mut out, &figures, seed)?;
    }
    if is_wanted(Simulation::Sizes) {
        sizes::print(&mut out, &figures)?;
    }
    out.flush()
}
