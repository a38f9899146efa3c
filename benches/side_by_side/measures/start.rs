//! The begin: how soon it answers, and what it takes when nobody is there.

use std::{fs, thread::sleep, time::Duration};

use salam_benches::{
    Result,
    cores::Core,
    node::{Installation, Node},
};

use super::{Measure, MeasureRow, Target};
use crate::{measure_results::MeasureResults, run_context::RunContext, testbed::SALAM};

const TIME_ROW: &str = "ms until it answers";
const MEMORY_ROW: &str = "MiB of memory (RSS) at rest";
const SIZE_ROW: &str = "MiB of the program";

pub const MEASURE: Measure = Measure {
    name: "start",
    title: "Start",
    contenders: &[SALAM],
    rows: &[
        MeasureRow {
            label: TIME_ROW,
            target: Target::AtMost(300.0),
        },
        MeasureRow {
            label: MEMORY_ROW,
            target: Target::AtMost(30.0),
        },
        MeasureRow {
            label: SIZE_ROW,
            target: Target::None,
        },
    ],
    description: "From starting the program to the first `200` of `/_ping`, asked every millisecond, with a database \
          of SQLite that is there and migrated. The memory is that of a second later.",
    round,
};

/// One start says little.
const STARTS: usize = 5;

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    let place = Installation::sqlite()?;
    // The first makes the database.
    drop(Node::start(&setting.salam, &place, Core::Measured)?);
    for _ in 0..STARTS {
        let node = Node::start(&setting.salam, &place, Core::Measured)?;
        sheet.add(TIME_ROW, SALAM, node.started_in.as_secs_f64() * 1000.0);
        sleep(Duration::from_secs(1));
        sheet.add(MEMORY_ROW, SALAM, node.process.rss()? as f64 / 1024.0);
    }
    let size = fs::metadata(&setting.salam)?.len();
    sheet.add(SIZE_ROW, SALAM, size as f64 / 1024.0 / 1024.0);
    Ok(())
}
