//! Measures Salam beside floors that do as little as can be done, all in turns, and writes
//! docs/benchmarks.md.
//!
//! The rule: a figure is never alone. Whatever it is compared with runs in the same minutes on the same
//! core, as a process of its own, and each figure comes with how far the rounds were apart and with
//! what was lost, doubled or reordered meanwhile.

mod alone;
mod floors;
mod measures;
mod report;
mod setting;
mod sheet;
mod stage;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use salam_benches::{Result, node, say};

use self::{measures::MEASURES, setting::Setting, sheet::Sheet};

/// As in Salam, so that memory can be compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Salam beside two floors, and write docs/benchmarks.md.
///
/// What is not measured this time stands there as it was measured last.
#[derive(Parser)]
#[command(name = "bin/bench", bin_name = "bin/bench")]
struct Options {
    /// One round of each, and short ones: to see whether all works
    #[arg(long)]
    quick: bool,
    /// Only these
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// The Salam to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/salam-cli")]
    salam: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it has started itself.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Role {
    #[command(hide = true)]
    Floor { kind: floors::Kind, port: u16 },
    #[command(hide = true)]
    Alone(alone::Alone),
}

fn names() -> clap::builder::PossibleValuesParser {
    MEASURES
        .iter()
        .map(|measure| measure.name)
        .collect::<Vec<_>>()
        .into()
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = salam_benches::raise_file_limit().and_then(|files| match &options.role {
        Some(Role::Floor { kind, port }) => kind.serve(*port),
        Some(Role::Alone(alone)) => alone.run(),
        None => measure(&options, files),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bin/bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, files: u64) -> Result<()> {
    let salam = node::root().join(&options.salam);
    if !salam.is_file() {
        return Err(format!(
            "there is no {}: cargo build --release",
            options.salam.display()
        )
        .into());
    }
    let setting = Setting::new(salam, options.quick, files);
    let is_wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for measure in MEASURES.iter().filter(|measure| is_wanted(measure.name)) {
        let mut sheet = Sheet::new(measure, &setting);
        for round in 1..=setting.rounds() {
            say(&format!(
                "==> {}, round {round} of {}",
                measure.name,
                setting.rounds()
            ));
            let done = (measure.round)(&setting, &mut sheet);
            done.map_err(|error| format!("{}: {error}", measure.name))?;
        }
        sheet.keep()?;
    }
    report::write(&MEASURES)
}
