//! So many deliveries a second, whatever becomes of them: what each costs, and how late it is.

use std::time::Duration;

use salam_benches::{Result, cores::Core, figures::micros_each, load::drive};

use super::{Measure, Row, Target, fan_out::CROWDS};
use crate::{
    setting::Setting,
    sheet::Sheet,
    stage::{ALL, Outcome, SALAM, Stage, tell},
};

const A_SECOND: u32 = 40_000;

pub const MEASURE: Measure = Measure {
    name: "steady",
    title: "40,000 deliveries a second",
    contenders: &ALL,
    rows: &[
        Row {
            what: "1×100, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        Row {
            what: "1×1,000, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        Row {
            what: "100×10, far node, µs of CPU",
            target: Target::Times(1.6),
        },
        Row {
            what: "1×100, SQLite, µs of CPU",
            target: Target::None,
        },
        Row {
            what: "1×1,000, SQLite, µs of CPU",
            target: Target::None,
        },
        Row {
            what: "1×1,000, SQLite, p50 ms",
            target: Target::None,
        },
        Row {
            what: "1×1,000, SQLite, p99 ms",
            target: Target::Times(2.0),
        },
        Row {
            what: "100×10, SQLite, µs of CPU",
            target: Target::None,
        },
        Row {
            what: "100×10, SQLite, p50 ms",
            target: Target::None,
        },
        // Of 4,000 durable messages a second, each in a commit that nobody else may hold up.
        Row {
            what: "100×10, SQLite, p99 ms",
            target: Target::AtMost(10.0),
        },
    ],
    how: "Messages at a fixed rate, one at a time, so that hardly an event shares its write with another: \
          400 a second to 100 sockets, 40 to 1,000, and 4,000 to the ten of one of 100 groups. Times are \
          from when a message was due, not from when it could be sent, until each socket has it. *Far \
          node* and *SQLite* as above.",
    round,
};

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    for (label, crowd) in CROWDS {
        let each = Duration::from_secs(1) / A_SECOND * u32::try_from(crowd.size)?;
        let told = |stage: &Stage| {
            let pace = |load: &mut _, speakers: &[_], time| drive::pace(load, speakers, each, time);
            tell(stage, crowd, pace, setting.time())
        };
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = setting.stores()? {
            let stage = Stage::far(setting, &stores.place()?, Core::Load, crowd.groups)?;
            enter(sheet, &far, SALAM, &told(&stage)?);
        }
        for contender in ALL {
            let outcome = told(&Stage::set(setting, contender, crowd.groups)?)?;
            enter(sheet, &sqlite, contender, &outcome);
            if contender != SALAM {
                enter(sheet, &far, contender, &outcome);
            }
        }
    }
    Ok(())
}

fn enter(sheet: &mut Sheet, row: &str, contender: &str, outcome: &Outcome) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    sheet.add(&format!("{row}, µs of CPU"), contender, each);
    sheet.add(&format!("{row}, p50 ms"), contender, outcome.p50);
    sheet.add(&format!("{row}, p99 ms"), contender, outcome.p99);
    for what in ["µs of CPU", "p50 ms", "p99 ms"] {
        sheet.blame(&format!("{row}, {what}"), outcome.flaws);
    }
}
