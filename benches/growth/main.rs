//! Measures how the cost of a request grows with the log: 10 thousand, a million and ten million
//! events.
//!
//! The requests are a page of history, the list of groups, a send and a resume. The start of the
//! server is measured too. `cargo run --release -p salam-benches --bin growth` writes the table in
//! docs/benchmarks.md, and prints the plan of each query. The rule: a lookup by a key costs about
//! the same at every size, and no query that a request waits for reads a whole table.

mod engine;
mod fill;
mod measure;
mod query_plans;
mod report;
mod size;
mod socket;

use std::{
    env::{current_exe, set_current_dir},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use clap::Parser;
use salam_benches::{Result, cores, log_progress, node::project_root, stores::Stores};
use tokio::{select, signal::ctrl_c};

use self::{
    engine::{BenchDatabase, Engine},
    measure::GrowthFigures,
    size::{DATASET_SIZES, DatasetSize},
};

#[derive(Parser)]
struct Arguments {
    /// Leave out the largest size, which takes minutes.
    #[arg(long)]
    quick: bool,
    /// Measure this database only; the table keeps its rows of the others.
    #[arg(long, value_enum)]
    only: Option<Engine>,
    /// The release build of the server, if it is not next to this program.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Do not write docs/benchmarks.md.
    #[arg(long)]
    dry: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    select! {
        result = run() => result,
        // Returning drops all values here, which stop the started processes.
        _ = ctrl_c() => Err("interrupted".into()),
    }
}

async fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let default_binary = current_exe()?.with_file_name("salam-cli");
    let binary = arguments
        .server
        .clone()
        .unwrap_or(default_binary)
        .canonicalize()?;
    // The configuration is in this folder.
    set_current_dir(project_root())?;
    // Processes that this process starts later stay on its core, unless they are pinned to another
    // core.
    move_off_first_core();
    let stores = match arguments.only {
        Some(Engine::Sqlite) => None,
        _ => Stores::start()?,
    };
    let query_log = query_plans::install_query_log()?;
    let sizes = sizes(arguments.quick);
    let mut rows = Vec::new();
    for engine in engines(arguments.only, stores.is_some()) {
        for size in sizes {
            let database = BenchDatabase::create(engine, stores.as_ref()).await?;
            let figures = fill_and_measure(&database, size, &binary).await?;
            rows.push(report::table_row(&figures));
            if Some(size) == sizes.last() {
                query_plans::print_plans(&database, size, &query_log).await?;
            }
        }
    }
    print_line(&report::update_page(rows, arguments.dry)?)
}

async fn fill_and_measure(
    database: &BenchDatabase,
    size: &DatasetSize,
    binary: &Path,
) -> Result<GrowthFigures> {
    let title = format!("{}, {} events", database.engine.title(), size.events);
    let started_at = Instant::now();
    let session = fill::fill(database, size, &title).await?;
    log_progress(&format!("{title}: created in {:.0?}", started_at.elapsed()));
    let figures = measure::measure(database, size, binary, &session).await?;
    log_progress(&report::table_row(&figures));
    Ok(figures)
}

fn sizes(quick: bool) -> &'static [DatasetSize] {
    match DATASET_SIZES.split_last() {
        Some((_, smaller)) if quick => smaller,
        _ => &DATASET_SIZES,
    }
}

/// Returns the selected databases that are available.
fn engines(only: Option<Engine>, has_postgres: bool) -> impl Iterator<Item = Engine> {
    let all = [Engine::Sqlite, Engine::Postgres].into_iter();
    all.filter(move |engine| only.is_none_or(|only| only == *engine))
        .filter(move |engine| has_postgres || *engine == Engine::Sqlite)
}

/// Moves this process off the first core, which only the server uses.
fn move_off_first_core() {
    if cores::are_pinned() {
        let process = std::process::id().to_string();
        // If `taskset` fails, the figures are worse, but still valid.
        let _ = Command::new("taskset")
            .args(["-cp", "1", &process])
            .output();
    }
}

/// Prints a result on standard output.
fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
