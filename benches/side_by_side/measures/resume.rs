//! Sockets that come back and are told what they have missed.

use std::time::{Duration, Instant};

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
    name: "resume",
    title: "Coming back",
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
    description: "To groups in which others are. 1,000 sockets, at most 128 of them on their way at a time, to one \
          group, each with `after` a hundred events behind its head. 5,000 sockets, all at once, to 50 \
          groups, twenty behind; those that the listening queue does not take are tried again by the \
          kernel, after a second and more. Times are from the begin of each connection to its frame \
          `sync`. One node on SQLite, one core.",
    round,
};

struct ReconnectScenario {
    label: &'static str,
    sockets: usize,
    groups: usize,
    behind: u64,
    /// Whether all come at once.
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

/// What is said before they come back.
const MESSAGES_BEFORE: u64 = 150;

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    for back in &RECONNECT_SCENARIOS {
        if setting.allows_sockets(back.sockets) {
            measure_reconnect(setting, sheet, back)?;
        } else {
            log_progress(&format!(
                "    {}: left out, a process may not have so many files",
                back.label
            ));
        }
    }
    Ok(())
}

fn measure_reconnect(
    setting: &RunContext,
    sheet: &mut MeasureResults,
    back: &ReconnectScenario,
) -> Result<()> {
    let stage = Testbed::start_salam(setting, &Installation::sqlite()?, back.groups)?;
    let (talk, heads) = send_history(&stage, back.groups)?;
    let mut load = LoadGenerator::new()?;
    for (group, &head) in heads.iter().enumerate() {
        load.stats.set_last_seq(group, head);
    }
    let specs = (0..back.sockets).map(|number| {
        let group = number % back.groups;
        let head = heads.get(group).copied().unwrap_or_default();
        resume_spec(
            stage.listener_spec(group, number / back.groups),
            head - back.behind,
        )
    });
    let specs: Vec<_> = specs.collect();
    let (begin, before) = (Instant::now(), stage.process().cpu()?);
    if back.all_at_once {
        drive::open_all_at_once(&mut load, specs)?;
    } else {
        drive::open_all(&mut load, specs)?;
    }
    let time = begin.elapsed();
    let spent = stage.process().cpu()?.saturating_sub(before);
    load.count_lost();
    load.check()?;
    talk.check()?;
    let row = |what: &str| format!("{}, {what}", back.label);
    let each = micros_each(spent, u64::try_from(back.sockets)?);
    sheet.add(&row("µs of CPU each"), SALAM, each);
    sheet.add(
        &row("ms until all have their `sync`"),
        SALAM,
        time.as_secs_f64() * 1000.0,
    );
    let readiness = &load.stats.ready_times;
    sheet.add(&row("p50 ms to `sync`"), SALAM, readiness.percentile(50.0));
    sheet.add(&row("p99 ms to `sync`"), SALAM, readiness.percentile(99.0));
    sheet.add_flaws(&row("µs of CPU each"), load.stats.flaws);
    Ok(())
}

/// Somebody in each group, who goes on listening, has said something; the heads of the groups.
fn send_history(stage: &Testbed, groups: usize) -> Result<(LoadGenerator, Vec<u64>)> {
    let mut load = LoadGenerator::new()?;
    let speakers = (0..groups).map(|group| stage.sender_spec(group)).collect();
    let speakers = drive::open_all(&mut load, speakers)?;
    for _ in 0..MESSAGES_BEFORE {
        drive::request_and_repeat(&mut load, &speakers, Duration::ZERO)?;
    }
    let heads = (0..groups)
        .map(|group| load.stats.last_seq(group))
        .collect();
    Ok((load, heads))
}

fn resume_spec(spec: SocketSpec, after: u64) -> SocketSpec {
    SocketSpec {
        path: format!("{}?after={after}", spec.path),
        after: Some(after),
        ..spec
    }
}
