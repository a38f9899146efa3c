//! Measures sockets that reconnect and receive missed events.

use std::time::Instant;

use salam_benches::{
    Result,
    load::{LoadGenerator, drive},
    log_progress,
    node::Installation,
    statistics::micros_each,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{SALAM, Testbed},
};

pub const MEASURE: Measure = Measure {
    name: "resume",
    title: "Reconnects",
    contenders: &[SALAM],
    rows: &[
        MeasureRow {
            label: "1,000 sockets, 100 events each, µs of CPU each",
            target: Target::None,
        },
        MeasureRow {
            label: "1,000 sockets, 100 events each, ms until all have their `sync`",
            target: Target::None,
        },
        MeasureRow {
            label: "5,000 sockets, 50 groups, µs of CPU each",
            target: Target::None,
        },
        MeasureRow {
            label: "5,000 sockets, 50 groups, p50 ms to `sync`",
            target: Target::None,
        },
        MeasureRow {
            label: "5,000 sockets, 50 groups, p99 ms to `sync`",
            target: Target::AtMost(1000.0),
        },
    ],
    description: "The sockets reconnect to groups that have other sockets. 1,000 sockets, at most 128 of them at a \
          time, reconnect to one group, each with an `after` a hundred events behind the head. 5,000 \
          sockets reconnect at once to 50 groups, twenty events behind. The kernel retries connections \
          that the listen queue refuses, after a second or more. Times are from the start of each \
          connection to its `sync` frame. One node on SQLite, one core.",
    round,
};

struct ReconnectScenario {
    label: &'static str,
    sockets: usize,
    groups: usize,
    behind: u64,
    /// `true` if all sockets reconnect at once.
    all_at_once: bool,
}

const RECONNECT_SCENARIOS: [ReconnectScenario; 2] = [
    ReconnectScenario {
        label: "1,000 sockets, 100 events each",
        sockets: 1000,
        groups: 1,
        behind: 100,
        all_at_once: false,
    },
    ReconnectScenario {
        label: "5,000 sockets, 50 groups",
        sockets: 5000,
        groups: 50,
        behind: 20,
        all_at_once: true,
    },
];

/// The number of messages in each group before the sockets reconnect.
const MESSAGES_BEFORE: u64 = 150;

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    for scenario in &RECONNECT_SCENARIOS {
        if context.allows_sockets(scenario.sockets) {
            measure_reconnect(context, results, scenario)?;
        } else {
            log_progress(&format!(
                "    {}: left out, the limit of open files is too low",
                scenario.label
            ));
        }
    }
    Ok(())
}

fn measure_reconnect(
    context: &RunContext,
    results: &mut MeasureResults,
    scenario: &ReconnectScenario,
) -> Result<()> {
    let testbed = Testbed::start_salam(context, &Installation::sqlite()?, scenario.groups)?;
    let (senders, heads) = testbed.send_history(scenario.groups, MESSAGES_BEFORE)?;
    let mut load = LoadGenerator::new()?;
    for (group, &head) in heads.iter().enumerate() {
        load.stats.set_last_seq(group, head);
    }
    let specs = (0..scenario.sockets).map(|index| {
        let group = index % scenario.groups;
        let head = heads.get(group).copied().unwrap_or_default();
        let spec = testbed.listener_spec(group, index / scenario.groups);
        spec.resuming_after(head - scenario.behind)
    });
    let specs: Vec<_> = specs.collect();
    let (started_at, before) = (Instant::now(), testbed.process().cpu_time()?);
    if scenario.all_at_once {
        drive::open_all_at_once(&mut load, specs)?;
    } else {
        drive::open_all(&mut load, specs)?;
    }
    let time = started_at.elapsed();
    let spent = testbed.process().cpu_time()?.saturating_sub(before);
    load.count_lost();
    load.check()?;
    senders.check()?;
    let row = |quantity: &str| format!("{}, {quantity}", scenario.label);
    let each = micros_each(spent, u64::try_from(scenario.sockets)?);
    results.add(&row("µs of CPU each"), SALAM, each);
    results.add(
        &row("ms until all have their `sync`"),
        SALAM,
        time.as_secs_f64() * 1000.0,
    );
    let readiness = &load.stats.ready_times;
    results.add(&row("p50 ms to `sync`"), SALAM, readiness.percentile(50.0));
    results.add(&row("p99 ms to `sync`"), SALAM, readiness.percentile(99.0));
    results.add_flaws(&row("µs of CPU each"), load.stats.flaws);
    Ok(())
}
