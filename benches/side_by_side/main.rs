//! Measures Salam beside floors that do as little as can be done, all in turns, and writes
//! docs/benchmarks.md.
//!
//! The rule: a figure is never alone. Whatever it is compared with runs in the same minutes on the same
//! core, as a process of its own, and each figure comes with how far the rounds were apart and with
//! what was lost, doubled or reordered meanwhile.

mod floors;
mod measure_results;
mod measures;
mod report;
mod run_context;
mod single_commits;
mod testbed;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use salam_benches::{Result, log_progress, node};

use self::{measure_results::MeasureResults, measures::MEASURES, run_context::RunContext};

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
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = measure_names())]
    only: Vec<String>,
    /// The Salam to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/salam-cli")]
    salam: PathBuf,
    #[command(subcommand)]
    role: Option<Subprocess>,
}

/// What this program is when it has started itself.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
enum Subprocess {
    #[command(hide = true)]
    Floor { kind: floors::Baseline, port: u16 },
    #[command(hide = true)]
    Alone(single_commits::SingleCommits),
}

fn measure_names() -> clap::builder::PossibleValuesParser {
    MEASURES
        .iter()
        .map(|measure| measure.name)
        .collect::<Vec<_>>()
        .into()
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = salam_benches::raise_file_limit().and_then(|files| match &options.role {
        Some(Subprocess::Floor { kind, port }) => kind.serve(*port),
        Some(Subprocess::Alone(alone)) => alone.run(),
        None => run_measures(&options, files),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log_progress(&format!("bin/bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run_measures(options: &Options, files: u64) -> Result<()> {
    let salam = node::project_root().join(&options.salam);
    if !salam.is_file() {
        return Err(format!(
            "there is no {}: cargo build --release",
            options.salam.display()
        )
        .into());
    }
    let setting = RunContext::new(salam, options.quick, files);
    let is_wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for measure in MEASURES.iter().filter(|measure| is_wanted(measure.name)) {
        let mut sheet = MeasureResults::new(measure, &setting);
        for round in 1..=setting.rounds() {
            log_progress(&format!(
                "==> {}, round {round} of {}",
                measure.name,
                setting.rounds()
            ));
            let done = (measure.round)(&setting, &mut sheet);
            done.map_err(|error| format!("{}: {error}", measure.name))?;
        }
        sheet.save()?;
    }
    report::write(&MEASURES)
}
