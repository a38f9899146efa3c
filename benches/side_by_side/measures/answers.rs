//! Measures the replies to base sockets: each socket sends a message that posts nothing, and gets
//! the time.

use salam_benches::{
    Result,
    load::{LoadGenerator, drive},
    statistics::micros_each,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{CONTENDERS, Testbed},
};

const SOCKETS: usize = 100;

const CPU_ROW: &str = "µs of CPU each";
const RATE_ROW: &str = "answers a second";

pub const MEASURE: Measure = Measure {
    name: "answers",
    title: "Answers to base sockets",
    contenders: &CONTENDERS,
    rows: &[
        MeasureRow {
            label: CPU_ROW,
            target: Target::Times(1.3),
        },
        MeasureRow {
            label: RATE_ROW,
            target: Target::None,
        },
    ],
    description: "100 base sockets send `{}`, wait for the reply and send again. The floors reply with a constant \
          text of the same length.",
    round,
};

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    for contender in CONTENDERS {
        let testbed = Testbed::start(context, contender, 1)?;
        let mut load = LoadGenerator::new()?;
        let sockets = (0..SOCKETS)
            .map(|index| testbed.requester_spec(index))
            .collect();
        let sockets = drive::open_all(&mut load, sockets)?;
        drive::request_and_repeat(&mut load, &sockets, context.load_time() / 4)?;
        load.stats.reset();
        let before = testbed.process().cpu_time()?;
        let time = drive::request_and_repeat(&mut load, &sockets, context.load_time())?;
        let spent = testbed.process().cpu_time()?.saturating_sub(before);
        load.check()?;
        let replies = load.stats.replies;
        results.add(CPU_ROW, contender, micros_each(spent, replies));
        results.add(RATE_ROW, contender, replies as f64 / time.as_secs_f64());
    }
    Ok(())
}
