//! Simulates loads that no available machine can run, from figures that were measured on a small
//! machine.
//!
//! The loads are a million sockets that reconnect at once, a group with a million members, and the
//! hardware for so many sockets. The same seed and the same figures give the same tables, byte for
//! byte.
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
    /// The simulation to run
    #[arg(value_enum, default_value = "all")]
    what: Simulation,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
    #[command(flatten)]
    parameters: Parameters,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Simulation {
    All,
    /// Sockets that reconnect after a failure
    Reconnect,
    /// A group with sockets on all nodes
    Fanout,
    /// The busiest server of a Redis Cluster
    Shards,
    /// The hardware for a million sockets and more
    Sizes,
}

fn main() -> Result<()> {
    let Arguments {
        what: selected,
        seed,
        parameters,
    } = Arguments::parse();
    let mut out = BufWriter::new(stdout().lock());
    let is_selected = |simulation| selected == Simulation::All || selected == simulation;
    if is_selected(Simulation::Reconnect) {
        reconnect::print(&mut out, &parameters, seed)?;
    }
    if is_selected(Simulation::Fanout) {
        fanout::print(&mut out, &parameters, seed)?;
    }
    if is_selected(Simulation::Shards) {
        shards::print(&mut out, &parameters, seed)?;
    }
    if is_selected(Simulation::Sizes) {
        sizes::print(&mut out, &parameters)?;
    }
    out.flush()
}
