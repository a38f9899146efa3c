//! Reconnect storms: all who lose a server come back at once, or not quite.
//!
//! A client comes back as the JavaScript client does; a node takes it in as
//! `src/controllers/socket.rs` and `src/channels/connection/rich/subscribe.rs` do. Each wait has the
//! limit that it has there.

mod backend_load;
mod batch_loader;
mod client;
mod nodes;
mod rooms;
mod scenario;
mod simulation;
mod stats;
mod steps;
mod subscribe_steps;

use std::io::{Result, Write};

use self::{
    scenario::{Incident, Scenario, all_scenarios},
    simulation::ReconnectSimulation,
};
use crate::{
    clock::to_seconds,
    parameters::Parameters,
    table::{Table, format_number, format_percent},
};

const CLIENT_COLUMNS: [&str; 13] = [
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

const SERVER_COLUMNS: [&str; 10] = [
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

pub fn print(out: &mut impl Write, figures: &Parameters, seed: u64) -> Result<()> {
    let plans = all_scenarios(figures);
    for plans in plans.chunk_by(|one, next| one.incident == next.incident) {
        let (mut clients, mut servers) = (Table::new(CLIENT_COLUMNS), Table::new(SERVER_COLUMNS));
        for plan in plans {
            let mut world = ReconnectSimulation::new(plan, seed);
            world.run();
            servers.add_row(server_row(plan, &world));
            clients.add_row(client_row(plan, world));
        }
        let heading = plans.first().map_or("", |plan| heading(plan.incident));
        let about = format!(
            "{} nodes with {} sockets each, {} groups a socket, {} sockets a group.",
            figures.nodes, figures.sockets, figures.groups, figures.online
        );
        clients.print(out, heading, &about)?;
        servers.print(out, &format!("{heading}: PostgreSQL and Redis"), &about)?;
    }
    Ok(())
}

fn heading(disaster: Incident) -> &'static str {
    match disaster {
        Incident::NodeDies => "One node is killed",
        Incident::BalancerRestarts => "The balancer restarts: all sockets come back",
        Incident::Deploy => "A rolling deploy",
    }
}

fn client_row(plan: &Scenario, world: ReconnectSimulation) -> [String; 13] {
    let (tally, lasted) = (&world.stats, world.duration());
    let back = tally.absences.len().max(1) as f64;
    let nodes = || world.nodes.all();
    let busiest = nodes().map(|node| node.cores.work.peak()).max();
    let longest = nodes().map(|node| node.cores.longest_wait).max();
    let connects = nodes().map(|node| node.arrivals.peak()).max();
    let sockets = nodes().map(|node| node.most_sockets).max();
    let busy = to_seconds(busiest.unwrap_or(0)) / f64::from(plan.parameters.cores);
    let rest = [
        format_number(to_seconds(lasted)),
        tally.still_away.to_string(),
        format_number(tally.attempts as f64 / back),
        format_number(tally.timed_out as f64),
        format_number(tally.rejected as f64),
        format_number(sockets.unwrap_or(0) as f64),
        format_number(connects.unwrap_or(0) as f64),
        format_percent(busy),
        format_number(1000.0 * to_seconds(longest.unwrap_or(0))),
    ];
    let [p50, p99, most] = world
        .stats
        .absences
        .per_mille([500, 990, 1000])
        .map(|absent| format_number(to_seconds(absent)));
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

fn server_row(plan: &Scenario, world: &ReconnectSimulation) -> [String; 10] {
    let costs = &world.backend;
    let database =
        to_seconds(costs.database.work.peak()) / f64::from(plan.parameters.database_cores);
    let words = costs.redis.work.sum() + costs.nodes_topic.work.sum();
    [
        plan.name.to_owned(),
        format_number(costs.queries.peak() as f64),
        format_percent(database),
        format_number(to_seconds(costs.database.longest_wait)),
        format_number(world.stats.log_pages as f64),
        format_number(world.stats.new_rooms as f64),
        format_number(to_seconds(words)),
        format_number(to_seconds(costs.redis.longest_wait)),
        format_number(to_seconds(costs.nodes_topic.longest_wait)),
        format_number(costs.dropped_publications as f64),
    ]
}
