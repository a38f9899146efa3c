//! Sockets that say nothing: what one of them holds, and what it cost to let it in.

use std::{thread::sleep, time::Duration};

use salam_benches::{
    Result,
    load::{LoadGenerator, SocketSpec, drive},
    log_progress,
    statistics::micros_each,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{CONTENDERS, Testbed},
};

pub const MEASURE: Measure = Measure {
    name: "idle",
    title: "Idle sockets",
    contenders: &CONTENDERS,
    rows: &[
        MeasureRow {
            label: "1,000 rich, KiB each",
            target: Target::None,
        },
        MeasureRow {
            label: "5,000 rich, KiB each",
            target: Target::AtMost(8.0),
        },
        MeasureRow {
            label: "10,000 rich, KiB each",
            target: Target::AtMost(8.0),
        },
        MeasureRow {
            label: "5,000 base, KiB each",
            target: Target::AtMost(8.0),
        },
        MeasureRow {
            label: "1,000 rich, µs of CPU to connect",
            target: Target::AtMost(100.0),
        },
        MeasureRow {
            label: "5,000 rich, µs of CPU to connect",
            target: Target::AtMost(100.0),
        },
        MeasureRow {
            label: "10,000 rich, µs of CPU to connect",
            target: Target::AtMost(100.0),
        },
        MeasureRow {
            label: "5,000 base, µs of CPU to connect",
            target: Target::AtMost(100.0),
        },
    ],
    description: "Sockets of four users in 100 groups, each let in by an access token in `Authorization` (base: \
          in the cookie), connect 128 at a time and say nothing. The memory is what the server's PSS has \
          grown by a second after the last one was told all that it is told at first, for each; what the \
          kernel holds for a socket is not in it. The allocator, mimalloc in all three, takes it in large \
          steps, so the figures of few sockets are coarse. The floors know neither tokens nor modes.",
    round,
};

const GROUPS: usize = 100;

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    for (label, count, is_rich) in [
        ("1,000 rich", 1000, true),
        ("5,000 rich", 5000, true),
        ("10,000 rich", 10_000, true),
        ("5,000 base", 5000, false),
    ] {
        if !setting.allows_sockets(count) {
            log_progress(&format!(
                "    {label}: left out, a process may not have so many files"
            ));
            continue;
        }
        for contender in CONTENDERS {
            let stage = Testbed::start(setting, contender, GROUPS)?;
            let spec = |number: usize| {
                if is_rich {
                    stage.listener_spec(number % GROUPS, number)
                } else {
                    stage.requester_spec(number)
                }
            };
            let (memory, cpu) = open_and_measure(&stage, (0..count).map(spec).collect())?;
            sheet.add(&format!("{label}, KiB each"), contender, memory);
            sheet.add(&format!("{label}, µs of CPU to connect"), contender, cpu);
        }
    }
    Ok(())
}

/// KiB and microseconds for each of these.
fn open_and_measure(stage: &Testbed, specs: Vec<SocketSpec>) -> Result<(f64, f64)> {
    let mut load = LoadGenerator::new()?;
    let server = stage.process();
    let count = specs.len();
    // The first socket has things made that all others share.
    drive::open_all(&mut load, specs.first().cloned().into_iter().collect())?;
    let (memory, cpu) = (server.pss()?, server.cpu()?);
    drive::open_all(&mut load, specs)?;
    let spent = server.cpu()?.saturating_sub(cpu);
    sleep(Duration::from_secs(1));
    let grown = server.pss()?.saturating_sub(memory);
    load.check()?;
    let each = grown as f64 / count as f64;
    Ok((each, micros_each(spent, u64::try_from(count)?)))
}
