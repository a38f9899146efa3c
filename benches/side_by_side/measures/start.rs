//! The begin: how soon it answers, and what it takes when nobody is there.

use std::{fs, thread::sleep, time::Duration};

use salam_benches::{
    Result,
    cores::Core,
    node::{Node, Place},
};

use super::{Measure, Row, Target};
use crate::{setting::Setting, sheet::Sheet, stage::SALAM};

const TIME: &str = "ms until it answers";
const MEMORY: &str = "MiB of memory (RSS) at rest";
const SIZE: &str = "MiB of the program";

pub const MEASURE: Measure = Measure {
    name: "start",
    title: "Start",
    contenders: &[SALAM],
    rows: &[
        Row {
            what: TIME,
            target: Target::AtMost(300.0),
        },
        Row {
            what: MEMORY,
            target: Target::AtMost(30.0),
        },
        Row {
            what: SIZE,
            target: Target::None,
        },
    ],
    how: "From starting the program to the first `200` of `/_ping`, asked every millisecond, with a database \
          of SQLite that is there and migrated. The memory is that of a second later.",
    round,
};

/// One start says little.
const STARTS: usize = 5;

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    let place = Place::sqlite()?;
    // The first makes the database.
    drop(Node::start(&setting.salam, &place, Core::Measured)?);
    for _ in 0..STARTS {
        let node = Node::start(&setting.salam, &place, Core::Measured)?;
        sheet.add(TIME, SALAM, node.started_in.as_secs_f64() * 1000.0);
        sleep(Duration::from_secs(1));
        sheet.add(MEMORY, SALAM, node.process.rss()? as f64 / 1024.0);
    }
    let size = fs::metadata(&setting.salam)?.len();
    sheet.add(SIZE, SALAM, size as f64 / 1024.0 / 1024.0);
    Ok(())
}
