//! Measures Salam and two baseline servers in turns, and writes docs/benchmarks.md.
//!
//! The rule: a figure never stands alone. All compared servers run in the same minutes on the same
//! core, each as a process of its own. Each figure comes with the spread of the rounds, and with
//! the number of lost, duplicated and reordered events.

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

/// The same allocator as in Salam, so that memory can be compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Salam and two baseline servers, and write docs/benchmarks.md.
///
/// Tables that are not measured this time keep their last figures.
#[derive(Parser)]
#[command(name = "bin/bench", bin_name = "bin/bench")]
struct Options {
    /// Run one short round of each measure, as a test
    #[arg(long)]
    quick: bool,
    /// Run only these measures
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = measure_names())]
    only: Vec<String>,
    /// The Salam binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/salam-cli")]
    salam: PathBuf,
    #[command(subcommand)]
    role: Option<Subprocess>,
}

/// The task of this program when it has started itself.
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
    let result = salam_benches::raise_file_limit().and_then(|files| match &options.role {
        Some(Subprocess::Floor { kind, port }) => kind.serve(*port),
        Some(Subprocess::Alone(alone)) => alone.run(),
        None => run_measures(&options, files),
    });
    match result {
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
            "{} does not exist; run cargo build --release",
            options.salam.display()
        )
        .into());
    }
    let context = RunContext::new(salam, options.quick, files);
    let is_selected =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for measure in MEASURES.iter().filter(|measure| is_selected(measure.name)) {
        let mut results = MeasureResults::new(measure, &context);
        for round in 1..=context.rounds() {
            log_progress(&format!(
                "==> {}, round {round} of {}",
                measure.name,
                context.rounds()
            ));
            let result = (measure.round)(&context, &mut results);
            result.map_err(|error| format!("{}: {error}", measure.name))?;
        }
        results.save()?;
    }
    report::write(&MEASURES)
}
