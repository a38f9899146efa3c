//! The whole way of a message over two nodes, beside the way within one.

use std::time::Duration;

use salam_benches::{
    Result,
    cores::Core,
    load::{LoadGenerator, drive, stats::Flaws},
    node::Node,
    statistics::micros_each,
    stores::Stores,
    users::UsersAndGroups,
};

use super::{Measure, MeasureRow, Target};
use crate::{
    measure_results::MeasureResults,
    run_context::RunContext,
    testbed::{USERS_PER_GROUP, rich_spec},
};

const FAR_NODE: &str = "far node";
const NEAR_NODE: &str = "near node";

pub const MEASURE: Measure = Measure {
    name: "path",
    title: "Two nodes, µs of CPU a delivery",
    contenders: &[FAR_NODE, NEAR_NODE],
    rows: &[
        MeasureRow {
            label: "100 listeners on each",
            target: Target::Times(1.5),
        },
        MeasureRow {
            label: "1,000 listeners on each",
            target: Target::Times(1.5),
        },
    ],
    description: "One group on PostgreSQL and Redis, with as many listeners on the node at which its sender is as on \
          the other; both nodes share core 0. The near one stores each message, tells the other and its \
          own listeners; the far one hears of it by Redis. One sender keeps eight messages in flight.",
    round,
};

const IN_FLIGHT: u64 = 8;

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    let Some(stores) = setting.stores()? else {
        return Ok(());
    };
    for (row, listeners) in [
        ("100 listeners on each", 100),
        ("1,000 listeners on each", 1000),
    ] {
        let (costs, flaws) = measure(setting, stores, listeners)?;
        for (contender, cost) in [FAR_NODE, NEAR_NODE].into_iter().zip(costs) {
            sheet.add(row, contender, cost);
        }
        sheet.add_flaws(row, flaws);
    }
    Ok(())
}

/// Microseconds a delivery on the far node and on the near one.
fn measure(setting: &RunContext, stores: &Stores, listeners: usize) -> Result<([f64; 2], Flaws)> {
    let place = stores.create_installation()?;
    let near = Node::start(&setting.salam, &place, Core::Measured)?;
    let far = Node::start(&setting.salam, &place, Core::Measured)?;
    let town = UsersAndGroups::create(near.port, USERS_PER_GROUP, 1)?;
    let mut load = LoadGenerator::new()?;
    let both = [far.port, near.port].into_iter();
    let both = both.flat_map(|port| (0..listeners).map(move |number| (port, number)));
    let specs = both.map(|(port, number)| rich_spec(&town, port, 0, number, true));
    drive::open_all(&mut load, specs.collect())?;
    let speaker = rich_spec(&town, near.port, 0, 0, false);
    let speaker = drive::open_all(&mut load, vec![speaker])?;
    let speaker: Vec<_> = speaker.into_iter().map(|number| (number, 0)).collect();
    drive::send_with_window(&mut load, &speaker, IN_FLIGHT, setting.load_time() / 4)?;
    load.stats.reset();
    let spent = || -> Result<[Duration; 2]> { Ok([far.process.cpu()?, near.process.cpu()?]) };
    let before = spent()?;
    drive::send_with_window(&mut load, &speaker, IN_FLIGHT, setting.load_time())?;
    let [far_after, near_after] = spent()?;
    load.count_lost();
    load.check()?;
    let [far_before, near_before] = before;
    // Both have as many listeners, and all have heard everything.
    let each = |spent: Duration| micros_each(spent, load.stats.deliveries / 2);
    let costs = [
        each(far_after.saturating_sub(far_before)),
        each(near_after.saturating_sub(near_before)),
    ];
    Ok((costs, load.stats.flaws))
}
