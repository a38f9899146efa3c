//! Measures a storm: all clients of a node reconnect at once, while other clients chat.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use salam_benches::{
    Result,
    load::{LoadGenerator, SocketSpec, drive},
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
    name: "storm",
    title: "A storm of reconnects",
    contenders: &[SALAM],
    rows: &[
        MeasureRow {
            label: "15,000 sockets, s until all have their `sync`",
            target: Target::None,
        },
        MeasureRow {
            label: "15,000 sockets, p99 s to `sync`",
            target: Target::None,
        },
        MeasureRow {
            label: "15,000 sockets, refusals",
            target: Target::None,
        },
        MeasureRow {
            label: "15,000 sockets, µs of CPU each",
            target: Target::None,
        },
        MeasureRow {
            label: "bystanders, before the storm, p99 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "bystanders, during the storm, p50 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "bystanders, during the storm, p99 ms",
            target: Target::AtMost(250.0),
        },
    ],
    description: "15,000 sockets of five networks and 50 groups connect at once, each twenty events behind. At the \
          same time, ten other sockets send a hundred messages a second in groups of their own, and receive \
          them. Their latency is from the due time of a message until its sender has it. Times to `sync` are \
          from the start of the first connection. A refused socket reconnects after the time that the node gave. One \
          node on SQLite, one core. The load of both kinds shares the other core, so the latencies contain waits of \
          the load, too.",
    round,
};

const SOCKETS: usize = 15_000;
const NETWORKS: usize = 5;
const GROUPS: usize = 50;
const BYSTANDERS: usize = 10;

/// The number of messages in each group before the storm.
const MESSAGES_BEFORE: u64 = 30;

/// The events that each socket has missed.
const BEHIND: u64 = 20;

/// The time between two messages of the bystanders.
const BYSTANDER_INTERVAL: Duration = Duration::from_millis(10);

/// The time for which the bystanders send before the storm, and in each part of the storm.
const BYSTANDER_TIME: Duration = Duration::from_secs(1);

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    if !context.allows_sockets(SOCKETS) {
        log_progress("    left out, the limit of open files is too low");
        return Ok(());
    }
    let testbed = Testbed::start_salam(context, &Installation::sqlite()?, GROUPS + BYSTANDERS)?;
    let (senders, heads) = testbed.send_history(GROUPS, MESSAGES_BEFORE)?;
    let mut storm = LoadGenerator::new()?;
    for (group, &head) in heads.iter().enumerate() {
        storm.stats.set_last_seq(group, head);
    }
    let specs = (0..SOCKETS).map(|index| {
        let group = index % GROUPS;
        let head = heads.get(group).copied().unwrap_or_default();
        let spec = testbed.listener_spec(group, index / GROUPS);
        in_network(spec.resuming_after(head - BEHIND), index % NETWORKS)
    });
    let specs: Vec<_> = specs.collect();

    let bystanders = Bystanders::open(&testbed)?;
    let has_ended = AtomicBool::new(false);
    let (started_at, before) = (Instant::now(), testbed.process().cpu_time()?);
    let (opened, latencies) = thread::scope(|scope| {
        let chatting = scope.spawn(|| bystanders.chat_until(&has_ended));
        let opened = drive::open_all_at_once(&mut storm, specs);
        let time = started_at.elapsed();
        has_ended.store(true, Ordering::Relaxed);
        let latencies = chatting.join().map_err(|_| "the bystanders panicked");
        (opened.map(|()| time), latencies)
    });
    let time = opened?;
    let latencies = latencies??;
    let spent = testbed.process().cpu_time()?.saturating_sub(before);
    storm.count_lost();
    storm.check()?;
    senders.check()?;
    let sockets = u64::try_from(SOCKETS)?;
    let mut add = |label: &str, value: f64| results.add(label, SALAM, value);
    add(
        "15,000 sockets, s until all have their `sync`",
        time.as_secs_f64(),
    );
    add(
        "15,000 sockets, p99 s to `sync`",
        storm.stats.ready_times.percentile(99.0) / 1000.0,
    );
    add("15,000 sockets, refusals", storm.stats.refusals as f64);
    add(
        "15,000 sockets, µs of CPU each",
        micros_each(spent, sockets),
    );
    add("bystanders, before the storm, p99 ms", latencies.p99_before);
    add("bystanders, during the storm, p50 ms", latencies.p50);
    add("bystanders, during the storm, p99 ms", latencies.p99);
    results.add_flaws(
        "15,000 sockets, s until all have their `sync`",
        storm.stats.flaws,
    );
    Ok(())
}

/// The sockets that chat during the storm.
struct Bystanders {
    load: LoadGenerator,
    senders: Vec<(usize, usize)>,
    p99_before: f64,
}

/// The latencies of the bystanders in milliseconds.
struct BystanderLatencies {
    p99_before: f64,
    p50: f64,
    p99: f64,
}

impl Bystanders {
    fn open(testbed: &Testbed) -> Result<Self> {
        let mut load = LoadGenerator::new()?;
        let groups = GROUPS..GROUPS + BYSTANDERS;
        let specs = groups.clone().map(|group| testbed.sender_spec(group));
        let senders = drive::open_all(&mut load, specs.collect())?;
        let senders: Vec<_> = senders.into_iter().zip(groups).collect();
        drive::send_at_rate(&mut load, &senders, BYSTANDER_INTERVAL, BYSTANDER_TIME)?;
        load.check()?;
        let p99_before = load.stats.latency.percentile(99.0);
        load.stats.reset();
        Ok(Self {
            load,
            senders,
            p99_before,
        })
    }

    fn chat_until(mut self, has_ended: &AtomicBool) -> Result<BystanderLatencies> {
        while !has_ended.load(Ordering::Relaxed) {
            let (load, senders) = (&mut self.load, &self.senders);
            drive::send_at_rate(load, senders, BYSTANDER_INTERVAL, BYSTANDER_TIME)?;
            self.load.check()?;
        }
        let latency = &self.load.stats.latency;
        Ok(BystanderLatencies {
            p99_before: self.p99_before,
            p50: latency.percentile(50.0),
            p99: latency.percentile(99.0),
        })
    }
}

/// Returns the socket of a client in a network, as a proxy reports the client.
fn in_network(spec: SocketSpec, network: usize) -> SocketSpec {
    SocketSpec {
        headers: format!("{}X-Forwarded-For: 192.0.2.{network}\r\n", spec.headers),
        ..spec
    }
}
