//! Sockets that come back and are told what they have missed.

use std::time::{Duration, Instant};

use salam_benches::{
    Result,
    figures::micros_each,
    load::{Load, Spec, drive},
    node::Place,
    say,
};

use super::{Measure, Row, Target};
use crate::{
    setting::Setting,
    sheet::Sheet,
    stage::{SALAM, Stage},
};

pub const MEASURE: Measure = Measure {
    name: "resume",
    title: "Coming back",
    contenders: &[SALAM],
    rows: &[
        Row {
            what: "1,000 sockets, 100 events each, µs of CPU each",
            target: Target::None,
        },
        Row {
            what: "1,000 sockets, 100 events each, ms until all have their `sync`",
            target: Target::None,
        },
        Row {
            what: "5,000 sockets, 50 groups, µs of CPU each",
            target: Target::None,
        },
        Row {
            what: "5,000 sockets, 50 groups, p50 ms to `sync`",
            target: Target::None,
        },
        Row {
            what: "5,000 sockets, 50 groups, p99 ms to `sync`",
            target: Target::AtMost(1000.0),
        },
    ],
    how: "To groups in which others are. 1,000 sockets, at most 128 of them on their way at a time, to one \
          group, each with `after` a hundred events behind its head. 5,000 sockets, all at once, to 50 \
          groups, twenty behind; those that the listening queue does not take are tried again by the \
          kernel, after a second and more. Times are from the begin of each connection to its frame \
          `sync`. One node on SQLite, one core.",
    round,
};

struct Return {
    label: &'static str,
    sockets: usize,
    groups: usize,
    behind: u64,
    /// Whether all come at once.
    storm: bool,
}

const RETURNS: [Return; 2] = [
    Return {
        label: "1,000 sockets, 100 events each",
        sockets: 1000,
        groups: 1,
        behind: 100,
        storm: false,
    },
    Return {
        label: "5,000 sockets, 50 groups",
        sockets: 5000,
        groups: 50,
        behind: 20,
        storm: true,
    },
];

/// What is said before they come back.
const SAID: u64 = 150;

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    for back in &RETURNS {
        if setting.may_have(back.sockets) {
            come_back(setting, sheet, back)?;
        } else {
            say(&format!(
                "    {}: left out, a process may not have so many files",
                back.label
            ));
        }
    }
    Ok(())
}

fn come_back(setting: &Setting, sheet: &mut Sheet, back: &Return) -> Result<()> {
    let stage = Stage::salam(setting, &Place::sqlite()?, back.groups)?;
    let (talk, heads) = talk(&stage, back.groups)?;
    let mut load = Load::new()?;
    for (group, &head) in heads.iter().enumerate() {
        load.tally.expect(group, head);
    }
    let specs = (0..back.sockets).map(|number| {
        let group = number % back.groups;
        let head = heads.get(group).copied().unwrap_or_default();
        returning(
            stage.listener(group, number / back.groups),
            head - back.behind,
        )
    });
    let specs: Vec<_> = specs.collect();
    let (begin, before) = (Instant::now(), stage.process().cpu()?);
    if back.storm {
        drive::storm(&mut load, specs)?;
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
    let readiness = &load.tally.readiness;
    sheet.add(&row("p50 ms to `sync`"), SALAM, readiness.percentile(50.0));
    sheet.add(&row("p99 ms to `sync`"), SALAM, readiness.percentile(99.0));
    sheet.blame(&row("µs of CPU each"), load.tally.flaws);
    Ok(())
}

/// Somebody in each group, who goes on listening, has said something; the heads of the groups.
fn talk(stage: &Stage, groups: usize) -> Result<(Load, Vec<u64>)> {
    let mut load = Load::new()?;
    let speakers = (0..groups).map(|group| stage.speaker(group)).collect();
    let speakers = drive::open_all(&mut load, speakers)?;
    for _ in 0..SAID {
        drive::converse(&mut load, &speakers, Duration::ZERO)?;
    }
    let heads = (0..groups).map(|group| load.tally.last(group)).collect();
    Ok((load, heads))
}

fn returning(spec: Spec, after: u64) -> Spec {
    Spec {
        path: format!("{}?after={after}", spec.path),
        after: Some(after),
        ..spec
    }
}
