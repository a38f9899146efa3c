//! A base socket says something that posts nothing, and is answered with the time.

use salam_benches::{
    Result,
    figures::micros_each,
    load::{Load, drive},
};

use super::{Measure, Row, Target};
use crate::{
    setting::Setting,
    sheet::Sheet,
    stage::{ALL, Stage},
};

const SOCKETS: usize = 100;

const CPU: &str = "µs of CPU each";
const SECOND: &str = "answers a second";

pub const MEASURE: Measure = Measure {
    name: "answers",
    title: "Answers to base sockets",
    contenders: &ALL,
    rows: &[
        Row {
            what: CPU,
            target: Target::Times(1.3),
        },
        Row {
            what: SECOND,
            target: Target::None,
        },
    ],
    how: "100 base sockets send `{}`, wait for the answer and send again. The floors answer with a text of \
          the same length that they do not have to make.",
    round,
};

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    for contender in ALL {
        let stage = Stage::set(setting, contender, 1)?;
        let mut load = Load::new()?;
        let askers = (0..SOCKETS).map(|number| stage.asker(number)).collect();
        let askers = drive::open_all(&mut load, askers)?;
        drive::converse(&mut load, &askers, setting.time() / 4)?;
        load.tally.begin();
        let before = stage.process().cpu()?;
        let time = drive::converse(&mut load, &askers, setting.time())?;
        let spent = stage.process().cpu()?.saturating_sub(before);
        load.check()?;
        let answered = load.tally.answered;
        sheet.add(CPU, contender, micros_each(spent, answered));
        sheet.add(SECOND, contender, answered as f64 / time.as_secs_f64());
    }
    Ok(())
}
