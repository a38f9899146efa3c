//! Reconnect storms: all who lose a server come back at once, or not quite.
//!
//! A client comes back as the JavaScript client does; a node takes it in as
//! `src/controllers/socket.rs` and `src/channels/connection/rich/subs.rs` do. Each wait has the
//! limit that it has there.

mod client;
mod costs;
mod nodes;
mod places;
mod plan;
mod rooms;
mod steps;
mod tally;
mod together;
mod world;

use std::io::{Result, Write};

use self::{
    plan::{Disaster, Plan, plans},
    world::World,
};
use crate::{
    clock::in_seconds,
    figures::Figures,
    table::{Table, percent, short},
};

const CLIENTS: [&str; 13] = [
    "circumstances",
    "absent p50 s",
    "p99 s",
    "max s",
    "over after s",
    "not back in 10 minutes",
    "tries for each return",
    "given up",
    "turned away",
    "most sockets, one node",
    "most connects/s, one node",
    "of the busiest node's cores, worst second",
    "longest wait for a core, ms",
];

const SERVERS: [&str; 10] = [
    "circumstances",
    "queries/s, worst second",
    "of its cores",
    "longest wait, s",
    "pages of logs",
    "groups new on a node",
    "words to other nodes, s of one core of Redis",
    "longest wait for Redis, s",
    "of it, on the topic of all nodes",
    "words dropped",
];

pub fn print(out: &mut impl Write, figures: &Figures, seed: u64) -> Result<()> {
    let plans = plans(figures);
    for plans in plans.chunk_by(|one, next| one.disaster == next.disaster) {
        let (mut clients, mut servers) = (Table::new(CLIENTS), Table::new(SERVERS));
        for plan in plans {
            let mut world = World::new(plan, seed);
            world.run();
            servers.row(of_servers(plan, &world));
            clients.row(of_clients(plan, world));
        }
        let heading = plans.first().map_or("", |plan| heading(plan.disaster));
        let about = format!(
            "{} nodes with {} sockets each, {} groups a socket, {} sockets a group.",
            figures.nodes, figures.sockets, figures.groups, figures.online
        );
        clients.print(out, heading, &about)?;
        servers.print(out, &format!("{heading}: PostgreSQL and Redis"), &about)?;
    }
    Ok(())
}

fn heading(disaster: Disaster) -> &'static str {
    match disaster {
        Disaster::NodeDies => "One node is killed",
        Disaster::BalancerRestarts => "The balancer restarts: all sockets come back",
        Disaster::Deploy => "A rolling deploy",
    }
}

fn of_clients(plan: &Plan, world: World) -> [String; 13] {
    let (tally, lasted) = (&world.tally, world.lasted());
    let back = tally.absences.len().max(1) as f64;
    let nodes = || world.nodes.all();
    let busiest = nodes().map(|node| node.cores.work.peak()).max();
    let longest = nodes().map(|node| node.cores.longest_wait).max();
    let connects = nodes().map(|node| node.arrivals.peak()).max();
    let sockets = nodes().map(|node| node.most_sockets).max();
    let busy = in_seconds(busiest.unwrap_or(0)) / f64::from(plan.figures.cores);
    let rest = [
        short(in_seconds(lasted)),
        tally.still_away.to_string(),
        short(tally.tries as f64 / back),
        short(tally.given_up as f64),
        short(tally.refused as f64),
        short(sockets.unwrap_or(0) as f64),
        short(connects.unwrap_or(0) as f64),
        percent(busy),
        short(1000.0 * in_seconds(longest.unwrap_or(0))),
    ];
    let [p50, p99, most] = world
        .tally
        .absences
        .at([500, 990, 1000])
        .map(|absent| short(in_seconds(absent)));
    let [
        over,
        away,
        tries,
        given_up,
        refused,
        sockets,
        connects,
        busy,
        wait,
    ] = rest;
    let name = plan.name.to_owned();
    [
        name, p50, p99, most, over, away, tries, given_up, refused, sockets, connects, busy, wait,
    ]
}

fn of_servers(plan: &Plan, world: &World) -> [String; 10] {
    let costs = &world.costs;
    let database = in_seconds(costs.database.work.peak()) / f64::from(plan.figures.database_cores);
    let words = costs.redis.work.sum() + costs.nodes_topic.work.sum();
    [
        plan.name.to_owned(),
        short(costs.queries.peak() as f64),
        percent(database),
        short(in_seconds(costs.database.longest_wait)),
        short(world.tally.pages as f64),
        short(world.tally.new_rooms as f64),
        short(in_seconds(words)),
        short(in_seconds(costs.redis.longest_wait)),
        short(in_seconds(costs.nodes_topic.longest_wait)),
        short(costs.dropped as f64),
    ]
}
