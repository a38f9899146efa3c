//! Measures the start: the time to the first response, and the memory at rest.

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
    description: "From the start of the program to the first `200` of `/_ping`, requested every millisecond, with an \
          existing, migrated SQLite database. The memory is measured one second later.",
    round,
};

/// The number of starts, because a single start is not significant.
const STARTS: usize = 5;

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    let installation = Installation::sqlite()?;
    // The first start creates the database.
    drop(Node::start(&context.salam, &installation, Core::Measured)?);
    for _ in 0..STARTS {
        let node = Node::start(&context.salam, &installation, Core::Measured)?;
        results.add(TIME_ROW, SALAM, node.started_in.as_secs_f64() * 1000.0);
        sleep(Duration::from_secs(1));
        results.add(MEMORY_ROW, SALAM, node.process.rss()? as f64 / 1024.0);
    }
    let size = fs::metadata(&context.salam)?.len();
    results.add(SIZE_ROW, SALAM, size as f64 / 1024.0 / 1024.0);
    Ok(())
}
