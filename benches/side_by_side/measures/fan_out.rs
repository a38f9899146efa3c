//! One message to many sockets: what each delivery costs.

use salam_benches::{Result, cores::Core, load::drive, statistics::micros_each};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{Audience, CONTENDERS, Outcome, SALAM, Testbed, measure_broadcast},
};

pub const MEASURE: Measure = Measure {
    name: "fan-out",
    title: "Fan-out, µs of CPU a delivery",
    contenders: &CONTENDERS,
    rows: &[
        MeasureRow {
            label: "1×100, far node",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "1×100, far node, events a write",
            target: Target::None,
        },
        MeasureRow {
            label: "1×100, SQLite, with the append",
            target: Target::None,
        },
        MeasureRow {
            label: "1×100, SQLite, events a write",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, far node",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "1×1,000, far node, events a write",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, SQLite, with the append",
            target: Target::None,
        },
        MeasureRow {
            label: "1×1,000, SQLite, events a write",
            target: Target::None,
        },
        MeasureRow {
            label: "100×10, far node",
            target: Target::Times(1.6),
        },
        MeasureRow {
            label: "100×10, far node, events a write",
            target: Target::None,
        },
        MeasureRow {
            label: "100×10, SQLite, with the append",
            target: Target::None,
        },
        MeasureRow {
            label: "100×10, SQLite, events a write",
            target: Target::None,
        },
    ],
    description: "Groups × listeners. One sender in each group keeps eight messages in flight, and sends the next \
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
const IN_FLIGHT: u64 = 8;

pub const AUDIENCES: [(&str, Audience); 3] = [
    (
        "1×100",
        Audience {
            groups: 1,
            listeners_per_group: 100,
        },
    ),
    (
        "1×1,000",
        Audience {
            groups: 1,
            listeners_per_group: 1000,
        },
    ),
    (
        "100×10",
        Audience {
            groups: 100,
            listeners_per_group: 10,
        },
    ),
];

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    let flood = |load: &mut _, speakers: &[_], time| {
        drive::send_with_window(load, speakers, IN_FLIGHT, time)
    };
    for (label, crowd) in AUDIENCES {
        let told = |stage: &Testbed| measure_broadcast(stage, crowd, flood, setting.load_time());
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = setting.stores()? {
            let stage = Testbed::start_two_nodes(
                setting,
                &stores.create_installation()?,
                Core::Load,
                crowd.groups,
            )?;
            add_outcome(sheet, &far, "", SALAM, &told(&stage)?);
        }
        for contender in CONTENDERS {
            let outcome = told(&Testbed::start(setting, contender, crowd.groups)?)?;
            add_outcome(sheet, &sqlite, ", with the append", contender, &outcome);
            if contender != SALAM {
                add_outcome(sheet, &far, "", contender, &outcome);
            }
        }
    }
    Ok(())
}

fn add_outcome(
    sheet: &mut MeasureResults,
    row: &str,
    more: &str,
    contender: &str,
    outcome: &Outcome,
) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    sheet.add(&format!("{row}{more}"), contender, each);
    sheet.add(
        &format!("{row}, events a write"),
        contender,
        outcome.events_per_read,
    );
    sheet.add_flaws(&format!("{row}{more}"), outcome.flaws);
}
