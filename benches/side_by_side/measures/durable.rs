//! Sends that are stored before they are answered: how many in a second.

use std::sync::Arc;

use salam_benches::{
    Result,
    load::{Load, drive},
    node::Place,
};

use super::{Measure, Row, Target};
use crate::{
    alone::Alone,
    setting::Setting,
    sheet::Sheet,
    stage::{SALAM, Stage},
};

const ALONE: &str = "a transaction each";

/// One transaction after the other, as what is stored in one group has to be.
const IN_TURN: &str = "64 in turn";

pub const MEASURE: Measure = Measure {
    name: "durable",
    title: "Durable sends a second",
    contenders: &[SALAM, ALONE, IN_TURN],
    rows: &[
        Row {
            what: "SQLite, 64 senders in 1 group",
            target: Target::TimesOrMore(8.0),
        },
        Row {
            what: "SQLite, 256 senders in 100 groups",
            target: Target::TimesOrMore(8.0),
        },
        Row {
            what: "PostgreSQL and Redis, 64 senders in 1 group",
            target: Target::TimesOrMore(14.0),
        },
        Row {
            what: "PostgreSQL and Redis, 256 senders in 100 groups",
            target: Target::TimesOrMore(14.0),
        },
        Row {
            what: "SQLite, 64 senders in 1 group, p99 ms",
            target: Target::None,
        },
        Row {
            what: "SQLite, 256 senders in 100 groups, p99 ms",
            target: Target::None,
        },
        Row {
            what: "PostgreSQL and Redis, 64 senders in 1 group, p99 ms",
            target: Target::None,
        },
        Row {
            what: "PostgreSQL and Redis, 256 senders in 100 groups, p99 ms",
            target: Target::None,
        },
    ],
    how: "Each sender is a rich socket that waits for its `ok` before it sends again, and hears what all \
          others of its group send. SQLite commits with `synchronous = FULL`, PostgreSQL with `fsync`. \
          Beside it: as many senders that make each change in a transaction of its own, by Salam's \
          model, in a process without sockets and without anybody to tell. 64 in one group take turns, \
          and the targets are in relation to them. To 100 groups PostgreSQL commits ten at a time, by \
          as many connections.",
    round,
};

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    with(setting, sheet, "SQLite", Place::sqlite)?;
    if let Some(stores) = setting.stores()? {
        with(setting, sheet, "PostgreSQL and Redis", || stores.place())?;
    }
    Ok(())
}

fn with(
    setting: &Setting,
    sheet: &mut Sheet,
    store: &str,
    place: impl Fn() -> Result<Arc<Place>>,
) -> Result<()> {
    let mut in_turn = None;
    for (senders, groups, label) in [
        (64, 1, "64 senders in 1 group"),
        (256, 100, "256 senders in 100 groups"),
    ] {
        let row = format!("{store}, {label}");
        let alone = measure(setting, sheet, &row, (senders, groups), &place)?;
        sheet.add(&row, ALONE, alone);
        sheet.add(&row, IN_TURN, *in_turn.get_or_insert(alone));
    }
    Ok(())
}

/// Gives how many a second there are in a transaction each.
fn measure(
    setting: &Setting,
    sheet: &mut Sheet,
    row: &str,
    (senders, groups): (usize, usize),
    place: impl Fn() -> Result<Arc<Place>>,
) -> Result<f64> {
    let stage = Stage::salam(setting, &place()?, groups)?;
    let mut load = Load::new()?;
    let specs = (0..senders).map(|number| stage.listener(number % groups, number));
    let sockets = drive::open_all(&mut load, specs.collect())?;
    drive::converse(&mut load, &sockets, setting.time() / 4)?;
    load.tally.begin();
    let time = drive::converse(&mut load, &sockets, setting.time())?;
    load.count_lost();
    load.check()?;
    sheet.add(row, SALAM, load.tally.answered as f64 / time.as_secs_f64());
    let p99 = load.tally.waits.percentile(99.0);
    sheet.add(&format!("{row}, p99 ms"), SALAM, p99);
    sheet.blame(row, load.tally.flaws);
    drop(stage);
    let alone = Alone {
        senders,
        groups,
        millis: u64::try_from(setting.time().as_millis())?,
    };
    alone.start(place()?.as_ref())
}
