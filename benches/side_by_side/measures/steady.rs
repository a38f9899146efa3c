//! Measures a fixed rate of deliveries: the cost and the latency of each.

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
        // Of 4,000 durable messages a second, each in a commit that no other commit may delay.
        MeasureRow {
            label: "100×10, SQLite, p99 ms",
            target: Target::AtMost(10.0),
        },
    ],
    description: "The senders send messages at a fixed rate, one at a time, so that events rarely share a write: 400 a \
          second to 100 sockets, 40 to 1,000 sockets, and 4,000 to the ten sockets of one of 100 groups. \
          Latencies are from the due time of a message, not from its sending, until each socket has it. \
          *Far node* and *SQLite* as above.",
    round,
};

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    for (label, audience) in AUDIENCES {
        let interval = Duration::from_secs(1) / DELIVERIES_PER_SECOND
            * u32::try_from(audience.listeners_per_group)?;
        let measure = |testbed: &Testbed| {
            let send = |load: &mut _, senders: &[_], time| {
                drive::send_at_rate(load, senders, interval, time)
            };
            measure_broadcast(testbed, audience, send, context.load_time())
        };
        let (far, sqlite) = (format!("{label}, far node"), format!("{label}, SQLite"));
        if let Some(stores) = context.stores()? {
            let testbed = Testbed::start_two_nodes(
                context,
                &stores.create_installation()?,
                Core::Load,
                audience.groups,
            )?;
            add_outcome(results, &far, SALAM, &measure(&testbed)?);
        }
        for contender in CONTENDERS {
            let outcome = measure(&Testbed::start(context, contender, audience.groups)?)?;
            add_outcome(results, &sqlite, contender, &outcome);
            if contender != SALAM {
                add_outcome(results, &far, contender, &outcome);
            }
        }
    }
    Ok(())
}

fn add_outcome(results: &mut MeasureResults, row: &str, contender: &str, outcome: &Outcome) {
    let each = micros_each(outcome.cpu, outcome.delivered);
    results.add(&format!("{row}, µs of CPU"), contender, each);
    results.add(&format!("{row}, p50 ms"), contender, outcome.p50);
    results.add(&format!("{row}, p99 ms"), contender, outcome.p99);
    for quantity in ["µs of CPU", "p50 ms", "p99 ms"] {
        results.add_flaws(&format!("{row}, {quantity}"), outcome.flaws);
    }
}
