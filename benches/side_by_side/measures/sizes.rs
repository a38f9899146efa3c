//! Measures everyday use: the CPU and the memory of a node for a number of sockets.

use std::{thread::sleep, time::Duration};

use salam_benches::{
    Result,
    load::{LoadGenerator, drive},
    log_progress,
    node::Installation,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{SALAM, Testbed},
};

pub const MEASURE: Measure = Measure {
    name: "sizes",
    title: "Everyday use",
    contenders: &[SALAM],
    rows: &[
        MeasureRow {
            label: "100 sockets, % of a core",
            target: Target::None,
        },
        MeasureRow {
            label: "100 sockets, MiB of memory (PSS)",
            target: Target::None,
        },
        MeasureRow {
            label: "1,000 sockets, % of a core",
            target: Target::None,
        },
        MeasureRow {
            label: "1,000 sockets, MiB of memory (PSS)",
            target: Target::None,
        },
        MeasureRow {
            label: "10,000 sockets, % of a core",
            target: Target::None,
        },
        MeasureRow {
            label: "10,000 sockets, MiB of memory (PSS)",
            target: Target::None,
        },
    ],
    description: "Groups of 20 sockets. Each socket sends a message every 100 s on average, so 10,000 sockets send 100 \
          messages a second, and receive 2,000. The memory is that of the whole process at the end. One node on \
          SQLite, one core.",
    round,
};

const SOCKETS_PER_GROUP: usize = 20;

/// The time between two messages of one socket.
const SEND_INTERVAL: Duration = Duration::from_secs(100);

/// The time for which the sockets send before the measurement, and during the measurement.
const WARM_UP: Duration = Duration::from_secs(3);
const TIME: Duration = Duration::from_secs(15);

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    for (label, count) in [
        ("100 sockets", 100),
        ("1,000 sockets", 1000),
        ("10,000 sockets", 10_000),
    ] {
        if !context.allows_sockets(count) {
            log_progress(&format!(
                "    {label}: left out, the limit of open files is too low"
            ));
            continue;
        }
        let groups = count / SOCKETS_PER_GROUP;
        let testbed = Testbed::start_salam(context, &Installation::sqlite()?, groups)?;
        let mut load = LoadGenerator::new()?;
        let specs = (0..count).map(|index| testbed.listener_spec(index % groups, index / groups));
        let sockets = drive::open_all(&mut load, specs.collect())?;
        // The first sockets are in different groups.
        let senders: Vec<_> = sockets.into_iter().take(groups).zip(0..groups).collect();
        let interval = SEND_INTERVAL / u32::try_from(count)?;
        drive::send_at_rate(&mut load, &senders, interval, WARM_UP)?;
        let server = testbed.process();
        let before = server.cpu_time()?;
        drive::send_at_rate(&mut load, &senders, interval, TIME)?;
        let spent = server.cpu_time()?.saturating_sub(before);
        sleep(Duration::from_secs(1));
        load.count_lost();
        load.check()?;
        let cores = spent.as_secs_f64() / TIME.as_secs_f64();
        let label_of_cpu = format!("{label}, % of a core");
        results.add(&label_of_cpu, SALAM, cores * 100.0);
        let mebibytes = server.pss()? as f64 / 1024.0;
        results.add(&format!("{label}, MiB of memory (PSS)"), SALAM, mebibytes);
        results.add_flaws(&label_of_cpu, load.stats.flaws);
    }
    Ok(())
}
