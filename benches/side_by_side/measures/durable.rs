//! Sends that are stored before they are answered: how many in a second.

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

/// One transaction after the other, as what is stored in one group has to be.
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
    description: "Each sender is a rich socket that waits for its `ok` before it sends again, and hears what all \
          others of its group send. SQLite commits with `synchronous = FULL`, PostgreSQL with `fsync`. \
          Beside it: as many senders that make each change in a transaction of its own, by Salam's \
          model, in a process without sockets and without anybody to tell. 64 in one group take turns, \
          and the targets are in relation to them. To 100 groups PostgreSQL commits ten at a time, by \
          as many connections.",
    round,
};

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    measure_store(setting, sheet, "SQLite", Installation::sqlite)?;
    if let Some(stores) = setting.stores()? {
        measure_store(setting, sheet, "PostgreSQL and Redis", || {
            stores.create_installation()
        })?;
    }
    Ok(())
}

fn measure_store(
    setting: &RunContext,
    sheet: &mut MeasureResults,
    store: &str,
    place: impl Fn() -> Result<Arc<Installation>>,
) -> Result<()> {
    let mut in_turn = None;
    for (senders, groups, label) in [
        (64, 1, "64 senders in 1 group"),
        (256, 100, "256 senders in 100 groups"),
    ] {
        let row = format!("{store}, {label}");
        let alone = measure(setting, sheet, &row, (senders, groups), &place)?;
        sheet.add(&row, SINGLE_COMMITS, alone);
        sheet.add(&row, SERIAL_COMMITS, *in_turn.get_or_insert(alone));
    }
    Ok(())
}

/// Gives how many a second there are in a transaction each.
fn measure(
    setting: &RunContext,
    sheet: &mut MeasureResults,
    row: &str,
    (senders, groups): (usize, usize),
    place: impl Fn() -> Result<Arc<Installation>>,
) -> Result<f64> {
    let stage = Testbed::start_salam(setting, &place()?, groups)?;
    let mut load = LoadGenerator::new()?;
    let specs = (0..senders).map(|number| stage.listener_spec(number % groups, number));
    let sockets = drive::open_all(&mut load, specs.collect())?;
    drive::request_and_repeat(&mut load, &sockets, setting.load_time() / 4)?;
    load.stats.reset();
    let time = drive::request_and_repeat(&mut load, &sockets, setting.load_time())?;
    load.count_lost();
    load.check()?;
    sheet.add(row, SALAM, load.stats.replies as f64 / time.as_secs_f64());
    let p99 = load.stats.reply_times.percentile(99.0);
    sheet.add(&format!("{row}, p99 ms"), SALAM, p99);
    sheet.add_flaws(row, load.stats.flaws);
    drop(stage);
    let alone = SingleCommits {
        senders,
        groups,
        millis: u64::try_from(setting.load_time().as_millis())?,
    };
    alone.run_as_process(place()?.as_ref())
}
