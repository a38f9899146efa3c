//! Measures idle sockets: the memory of each socket, and the CPU time of its connection.

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
    description: "Sockets of four users in 100 groups, each authenticated by an access token in `Authorization` \
          (base: in the cookie), connect 128 at a time and send nothing. The memory is the growth of the \
          server's PSS for each socket, one second after the last socket was ready. The kernel's memory \
          for a socket is not included. The allocator, mimalloc in all three, grows in large steps, so \
          the figures of few sockets are coarse. The floors have neither tokens nor modes.",
    round,
};

const GROUPS: usize = 100;

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    for (label, count, is_rich) in [
        ("1,000 rich", 1000, true),
        ("5,000 rich", 5000, true),
        ("10,000 rich", 10_000, true),
        ("5,000 base", 5000, false),
    ] {
        if !context.allows_sockets(count) {
            log_progress(&format!(
                "    {label}: left out, the limit of open files is too low"
            ));
            continue;
        }
        for contender in CONTENDERS {
            let testbed = Testbed::start(context, contender, GROUPS)?;
            let spec = |index: usize| {
                if is_rich {
                    testbed.listener_spec(index % GROUPS, index)
                } else {
                    testbed.requester_spec(index)
                }
            };
            let (memory, cpu) = open_and_measure(&testbed, (0..count).map(spec).collect())?;
            results.add(&format!("{label}, KiB each"), contender, memory);
            results.add(&format!("{label}, µs of CPU to connect"), contender, cpu);
        }
    }
    Ok(())
}

/// Returns the memory in KiB and the CPU time in microseconds for each socket.
fn open_and_measure(testbed: &Testbed, specs: Vec<SocketSpec>) -> Result<(f64, f64)> {
    let mut load = LoadGenerator::new()?;
    let server = testbed.process();
    let count = specs.len();
    // The first socket creates data that all others share.
    drive::open_all(&mut load, specs.first().cloned().into_iter().collect())?;
    let (memory, cpu) = (server.pss()?, server.cpu_time()?);
    drive::open_all(&mut load, specs)?;
    let spent = server.cpu_time()?.saturating_sub(cpu);
    sleep(Duration::from_secs(1));
    let growth = server.pss()?.saturating_sub(memory);
    load.check()?;
    let each = growth as f64 / count as f64;
    Ok((each, micros_each(spent, u64::try_from(count)?)))
}
