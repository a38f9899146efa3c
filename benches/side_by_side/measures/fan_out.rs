//! Measures fan-out: one message to many sockets, and the cost of each delivery.

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
    description: "Groups × receivers. One sender in each group keeps eight messages in flight, and sends the next \
          messages when all receivers have the earlier ones. The receivers get eight messages at once, so \
          the sender sends eight at once. *Far node*: two nodes on one PostgreSQL and one Redis. The \
          senders use the near node, which shares the core of the load. The cost of the far node is the \
          fan-out alone. *With the append*: one node, which stores each message before it delivers the \
          message. The floors store nothing. A write is most of the cost of a delivery. The number of \
          events in a write, measured as the events in one read of a socket, explains the ratio. Events \
          and the floors' texts are about 250 bytes long.",
    round,
};

/// The number of messages of each sender that are not yet delivered to all sockets.
const IN_FLIGHT: u64 = 8;

/// The groups and receivers of each row.
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

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    let send =
        |load: &mut _, senders: &[_], time| drive::send_with_window(load, senders, IN_FLIGHT, time);
    for (label, audience) in AUDIENCES {
        let measure =
            |testbed: &Testbed| measure_broadcast(testbed, audience, send, context.load_time());
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = context.stores()? {
            let testbed = Testbed::start_two_nodes(
                context,
                &stores.create_installation()?,
                Core::Load,
                audience.groups,
            )?;
            add_outcome(results, &far, "", SALAM, &measure(&testbed)?);
        }
        for contender in CONTENDERS {
            let outcome = measure(&Testbed::start(context, contender, audience.groups)?)?;
            add_outcome(results, &sqlite, ", with the append", contender, &outcome);
            if contender != SALAM {
                add_outcome(results, &far, "", contender, &outcome);
            }
        }
    }
    Ok(())
}

fn add_outcome(
    results: &mut MeasureResults,
    row: &str,
    suffix: &str,
    contender: &str,
    outcome: &Outcome,
) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    results.add(&format!("{row}{suffix}"), contender, each);
    results.add(
        &format!("{row}, events a write"),
        contender,
        outcome.events_per_read,
    );
    results.add_flaws(&format!("{row}{suffix}"), outcome.flaws);
}
