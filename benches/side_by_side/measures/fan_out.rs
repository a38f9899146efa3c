//! One message to many sockets: what each delivery costs.

use salam_benches::{Result, cores::Core, figures::micros_each, load::drive};

use super::{Measure, Row, Target};
use crate::{
    setting::Setting,
    sheet::Sheet,
    stage::{ALL, Crowd, Outcome, SALAM, Stage, tell},
};

pub const MEASURE: Measure = Measure {
    name: "fan-out",
    title: "Fan-out, µs of CPU a delivery",
    contenders: &ALL,
    rows: &[
        Row {
            what: "1×100, far node",
            target: Target::Times(1.6),
        },
        Row {
            what: "1×100, far node, events a write",
            target: Target::None,
        },
        Row {
            what: "1×100, SQLite, with the append",
            target: Target::None,
        },
        Row {
            what: "1×100, SQLite, events a write",
            target: Target::None,
        },
        Row {
            what: "1×1,000, far node",
            target: Target::Times(1.6),
        },
        Row {
            what: "1×1,000, far node, events a write",
            target: Target::None,
        },
        Row {
            what: "1×1,000, SQLite, with the append",
            target: Target::None,
        },
        Row {
            what: "1×1,000, SQLite, events a write",
            target: Target::None,
        },
        Row {
            what: "100×10, far node",
            target: Target::Times(1.6),
        },
        Row {
            what: "100×10, far node, events a write",
            target: Target::None,
        },
        Row {
            what: "100×10, SQLite, with the append",
            target: Target::None,
        },
        Row {
            what: "100×10, SQLite, events a write",
            target: Target::None,
        },
    ],
    how: "Groups × listeners. One sender in each group keeps eight messages in flight, and sends the next \
          when all listeners have heard: as those hear of eight at once, it sends eight at once. *Far \
          node*: two nodes on one PostgreSQL and one Redis; the senders are at the near one, which \
          shares the core of the load, and what the far one spends is the fan-out alone. *With the \
          append*: one node, which stores each message before it tells it. The floors store nothing. A \
          write is most of the cost of a delivery, and how many events share one (as many as a socket \
          of the load has read at once) says what the ratio is worth. Events and the floors' texts are \
          about 250 bytes long.",
    round,
};

/// Messages of each sender that somebody has not heard of yet.
const WINDOW: u64 = 8;

pub const CROWDS: [(&str, Crowd); 3] = [
    (
        "1×100",
        Crowd {
            groups: 1,
            size: 100,
        },
    ),
    (
        "1×1,000",
        Crowd {
            groups: 1,
            size: 1000,
        },
    ),
    (
        "100×10",
        Crowd {
            groups: 100,
            size: 10,
        },
    ),
];

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    let flood = |load: &mut _, speakers: &[_], time| drive::flood(load, speakers, WINDOW, time);
    for (label, crowd) in CROWDS {
        let told = |stage: &Stage| tell(stage, crowd, flood, setting.time());
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = setting.stores()? {
            let stage = Stage::far(setting, &stores.place()?, Core::Load, crowd.groups)?;
            enter(sheet, &far, "", SALAM, &told(&stage)?);
        }
        for contender in ALL {
            let outcome = told(&Stage::set(setting, contender, crowd.groups)?)?;
            enter(sheet, &sqlite, ", with the append", contender, &outcome);
            if contender != SALAM {
                enter(sheet, &far, "", contender, &outcome);
            }
        }
    }
    Ok(())
}

fn enter(sheet: &mut Sheet, row: &str, more: &str, contender: &str, outcome: &Outcome) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    sheet.add(&format!("{row}{more}"), contender, each);
    sheet.add(
        &format!("{row}, events a write"),
        contender,
        outcome.at_once,
    );
    sheet.blame(&format!("{row}{more}"), outcome.flaws);
}
