//! Measures the path of a message over two nodes, next to the path within one node.

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
    description: "One group on PostgreSQL and Redis has as many receivers on the sender's node, the near node, as on \
          the far node. Both nodes share core 0. The near node stores each message, publishes it and \
          delivers it to its own sockets. The far node receives it by Redis. One sender keeps eight \
          messages in flight.",
    round,
};

const IN_FLIGHT: u64 = 8;

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    let Some(stores) = context.stores()? else {
        return Ok(());
    };
    for (row, listeners) in [
        ("100 listeners on each", 100),
        ("1,000 listeners on each", 1000),
    ] {
        let (costs, flaws) = measure(context, stores, listeners)?;
        for (contender, cost) in [FAR_NODE, NEAR_NODE].into_iter().zip(costs) {
            results.add(row, contender, cost);
        }
        results.add_flaws(row, flaws);
    }
    Ok(())
}

/// Returns the microseconds of a delivery on the far node and on the near node.
fn measure(context: &RunContext, stores: &Stores, listeners: usize) -> Result<([f64; 2], Flaws)> {
    let installation = stores.create_installation()?;
    let near = Node::start(&context.salam, &installation, Core::Measured)?;
    let far = Node::start(&context.salam, &installation, Core::Measured)?;
    let users = UsersAndGroups::create(near.port, USERS_PER_GROUP, 1)?;
    let mut load = LoadGenerator::new()?;
    let ports = [far.port, near.port].into_iter();
    let sockets = ports.flat_map(|port| (0..listeners).map(move |user| (port, user)));
    let specs = sockets.map(|(port, user)| rich_spec(&users, port, 0, user, true));
    drive::open_all(&mut load, specs.collect())?;
    let sender = rich_spec(&users, near.port, 0, 0, false);
    let sender = drive::open_all(&mut load, vec![sender])?;
    let sender: Vec<_> = sender.into_iter().map(|index| (index, 0)).collect();
    drive::send_with_window(&mut load, &sender, IN_FLIGHT, context.load_time() / 4)?;
    load.stats.reset();
    let cpu_times =
        || -> Result<[Duration; 2]> { Ok([far.process.cpu_time()?, near.process.cpu_time()?]) };
    let before = cpu_times()?;
    drive::send_with_window(&mut load, &sender, IN_FLIGHT, context.load_time())?;
    let [far_after, near_after] = cpu_times()?;
    load.count_lost();
    load.check()?;
    let [far_before, near_before] = before;
    // Both nodes have the same number of sockets, and all events were delivered.
    let each = |cpu: Duration| micros_each(cpu, load.stats.deliveries / 2);
    let costs = [
        each(far_after.saturating_sub(far_before)),
        each(near_after.saturating_sub(near_before)),
    ];
    Ok((costs, load.stats.flaws))
}
