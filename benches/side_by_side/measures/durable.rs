//! Measures durable sends a second: each send is stored before it is acknowledged.

use std::sync::Arc;

use salam_benches::{
    Result,
    load::{LoadGenerator, drive},
    node::Installation,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    single_commits::SingleCommits,
    testbed::{SALAM, Testbed},
};

const SINGLE_COMMITS: &str = "a transaction each";

/// One transaction after the other, as commits of a single group must be.
const SERIAL_COMMITS: &str = "64 in turn";

pub const MEASURE: Measure = Measure {
    name: "durable",
    title: "Durable sends a second",
    contenders: &[SALAM, SINGLE_COMMITS, SERIAL_COMMITS],
    rows: &[
        MeasureRow {
            label: "SQLite, 64 senders in 1 group",
            target: Target::TimesOrMore(8.0),
        },
        MeasureRow {
            label: "SQLite, 256 senders in 100 groups",
            target: Target::TimesOrMore(8.0),
        },
        MeasureRow {
            label: "PostgreSQL and Redis, 64 senders in 1 group",
            target: Target::TimesOrMore(14.0),
        },
        MeasureRow {
            label: "PostgreSQL and Redis, 256 senders in 100 groups",
            target: Target::TimesOrMore(14.0),
        },
        MeasureRow {
            label: "SQLite, 64 senders in 1 group, p99 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "SQLite, 256 senders in 100 groups, p99 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "PostgreSQL and Redis, 64 senders in 1 group, p99 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "PostgreSQL and Redis, 256 senders in 100 groups, p99 ms",
            target: Target::None,
        },
    ],
    description: "Each sender is a rich socket that waits for its `ok` before it sends again, and receives all \
          messages of its group. SQLite commits with `synchronous = FULL`, PostgreSQL with `fsync`. *A \
          transaction each* has as many senders, which apply each command in a transaction of its own by \
          Salam's model, in a process without sockets. The 64 senders in one group take turns, and the \
          targets refer to them. For 100 groups PostgreSQL commits ten transactions at a time, on as many \
          connections.",
    round,
};

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    measure_store(context, results, "SQLite", Installation::sqlite)?;
    if let Some(stores) = context.stores()? {
        measure_store(context, results, "PostgreSQL and Redis", || {
            stores.create_installation()
        })?;
    }
    Ok(())
}

fn measure_store(
    context: &RunContext,
    results: &mut MeasureResults,
    store: &str,
    create_installation: impl Fn() -> Result<Arc<Installation>>,
) -> Result<()> {
    let mut serial = None;
    for (senders, groups, label) in [
        (64, 1, "64 senders in 1 group"),
        (256, 100, "256 senders in 100 groups"),
    ] {
        let row = format!("{store}, {label}");
        let single = measure(
            context,
            results,
            &row,
            (senders, groups),
            &create_installation,
        )?;
        results.add(&row, SINGLE_COMMITS, single);
        results.add(&row, SERIAL_COMMITS, *serial.get_or_insert(single));
    }
    Ok(())
}

/// Measures Salam, and returns the sends a second with one transaction each.
fn measure(
    context: &RunContext,
    results: &mut MeasureResults,
    row: &str,
    (senders, groups): (usize, usize),
    create_installation: impl Fn() -> Result<Arc<Installation>>,
) -> Result<f64> {
    let testbed = Testbed::start_salam(context, &create_installation()?, groups)?;
    let mut load = LoadGenerator::new()?;
    let specs = (0..senders).map(|index| testbed.listener_spec(index % groups, index));
    let sockets = drive::open_all(&mut load, specs.collect())?;
    drive::request_and_repeat(&mut load, &sockets, context.load_time() / 4)?;
    load.stats.reset();
    let time = drive::request_and_repeat(&mut load, &sockets, context.load_time())?;
    load.count_lost();
    load.check()?;
    results.add(row, SALAM, load.stats.replies as f64 / time.as_secs_f64());
    let p99 = load.stats.reply_times.percentile(99.0);
    results.add(&format!("{row}, p99 ms"), SALAM, p99);
    results.add_flaws(row, load.stats.flaws);
    drop(testbed);
    let single_commits = SingleCommits {
        senders,
        groups,
        millis: u64::try_from(context.load_time().as_millis())?,
    };
    single_commits.run_as_process(create_installation()?.as_ref())
}
