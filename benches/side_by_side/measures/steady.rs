//! So many deliveries a second, whatever becomes of them: what each costs, and how late it is.

use std::time::Duration;

use salam_benches::{Result, cores::Core, load::drive, statistics::micros_each};

use super::{Measure, MeasureRow, Target, fan_out::AUDIENCES};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{CONTENDERS, Outcome, SALAM, Testbed, measure_broadcast},
};

const DELIVERIES_PER_SECOND: u32 = 40_000;

pub const MEASURE: Measure = Measure {
    name: "steady",
    title: "40,000 deliveries a second",
    contenders: &CONTENDERS,
    rows: &[
        MeasureRow {
            label: "1×100, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "1×1,000, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "100×10, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "1×100, SQLite, µs of CPU",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, SQLite, µs of CPU",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, SQLite, p50 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, SQLite, p99 ms",
            target: Target::Times(2.0),
        },
        MeasureRow {
            label: "100×10, SQLite, µs of CPU",
            target: Target::None,
        },
        MeasureRow {
            label: "100×10, SQLite, p50 ms",
            target: Target::None,
        },
        // Of 4,000 durable messages a second, each in a commit that nobody else may hold up.
        MeasureRow {
            label: "100×10, SQLite, p99 ms",
            target: Target::AtMost(10.0),
        },
    ],
    description: "Messages at a fixed rate, one at a time, so that hardly an event shares its write with another: \
          400 a second to 100 sockets, 40 to 1,000, and 4,000 to the ten of one of 100 groups. Times are \
          from when a message was due, not from when it could be sent, until each socket has it. *Far \
          node* and *SQLite* as above.",
    round,
};

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    for (label, crowd) in AUDIENCES {
        let each = Duration::from_secs(1) / DELIVERIES_PER_SECOND
            * u32::try_from(crowd.listeners_per_group)?;
        let told = |stage: &Testbed| {
            let pace = |load: &mut _, speakers: &[_], time| {
                drive::send_at_rate(load, speakers, each, time)
            };
            measure_broadcast(stage, crowd, pace, setting.load_time())
        };
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = setting.stores()? {
            let stage = Testbed::start_two_nodes(
                setting,
                &stores.create_installation()?,
                Core::Load,
                crowd.groups,
            )?;
            add_outcome(sheet, &far, SALAM, &told(&stage)?);
        }
        for contender in CONTENDERS {
            let outcome = told(&Testbed::start(setting, contender, crowd.groups)?)?;
            add_outcome(sheet, &sqlite, contender, &outcome);
            if contender != SALAM {
                add_outcome(sheet, &far, contender, &outcome);
            }
        }
    }
    Ok(())
}

fn add_outcome(sheet: &mut MeasureResults, row: &str, contender: &str, outcome: &Outcome) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    sheet.add(&format!("{row}, µs of CPU"), contender, each);
    sheet.add(&format!("{row}, p50 ms"), contender, outcome.p50);
    sheet.add(&format!("{row}, p99 ms"), contender, outcome.p99);
    for what in ["µs of CPU", "p50 ms", "p99 ms"] {
        sheet.add_flaws(&format!("{row}, {what}"), outcome.flaws);
    }
}
