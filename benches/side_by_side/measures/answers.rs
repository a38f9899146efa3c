//! A base socket says something that posts nothing, and is answered with the time.

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
    description: "100 base sockets send `{}`, wait for the answer and send again. The floors answer with a text of \
          the same length that they do not have to make.",
    round,
};

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    for contender in CONTENDERS {
        let stage = Testbed::start(setting, contender, 1)?;
        let mut load = LoadGenerator::new()?;
        let askers = (0..SOCKETS)
            .map(|number| stage.requester_spec(number))
            .collect();
        let askers = drive::open_all(&mut load, askers)?;
        drive::request_and_repeat(&mut load, &askers, setting.load_time() / 4)?;
        load.stats.reset();
        let before = stage.process().cpu()?;
        let time = drive::request_and_repeat(&mut load, &askers, setting.load_time())?;
        let spent = stage.process().cpu()?.saturating_sub(before);
        load.check()?;
        let answered = load.stats.replies;
        sheet.add(CPU_ROW, contender, micros_each(spent, answered));
        sheet.add(RATE_ROW, contender, answered as f64 / time.as_secs_f64());
    }
    Ok(())
}
