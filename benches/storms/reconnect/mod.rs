//! Simulates reconnect storms, in which all clients of a failed server reconnect at about the same
//! time.
//!
//! A client reconnects as the JavaScript client does. A node admits it as
//! `src/controllers/socket.rs` and `src/channels/connection/rich/subscribe.rs` do. Each wait has
//! the timeout of the real code.

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
    "scenario",
    "absence p50 s",
    "p99 s",
    "max s",
    "duration s",
    "not reconnected after 10 minutes",
    "attempts for each client",
    "timed out",
    "rejected",
    "max sockets of a node",
    "max connects/s of a node",
    "cores of the busiest node, worst second",
    "longest wait for a core, ms",
];

const SERVER_COLUMNS: [&str; 10] = [
    "scenario",
    "queries/s, worst second",
    "database cores, worst second",
    "longest wait, s",
    "pages of logs",
    "new rooms",
    "publications, s of one Redis core",
    "longest wait for Redis, s",
    "the same, for the topic of the cluster",
    "dropped publications",
];

/// Prints the tables of all scenarios.
pub fn print(out: &mut impl Write, parameters: &Parameters, seed: u64) -> Result<()> {
    let scenarios = all_scenarios(parameters);
    for scenarios in scenarios.chunk_by(|one, next| one.incident == next.incident) {
        let (mut clients, mut servers) = (Table::new(CLIENT_COLUMNS), Table::new(SERVER_COLUMNS));
        for scenario in scenarios {
            let mut simulation = ReconnectSimulation::new(scenario, seed);
            simulation.run();
            servers.add_row(server_row(scenario, &simulation));
            clients.add_row(client_row(scenario, simulation));
        }
        let heading = scenarios
            .first()
            .map_or("", |scenario| heading(scenario.incident));
        let description = format!(
            "{} nodes with {} sockets each, {} groups a socket, {} sockets a group.",
            parameters.nodes, parameters.sockets, parameters.groups, parameters.online
        );
        clients.print(out, heading, &description)?;
        servers.print(
            out,
            &format!("{heading}: PostgreSQL and Redis"),
            &description,
        )?;
    }
    Ok(())
}

fn heading(incident: Incident) -> &'static str {
    match incident {
        Incident::NodeDies => "One node is killed",
        Incident::BalancerRestarts => "The balancer restarts: all sockets reconnect",
        Incident::Deploy => "A rolling deploy",
    }
}

fn client_row(scenario: &Scenario, simulation: ReconnectSimulation) -> [String; 13] {
    let (stats, duration) = (&simulation.stats, simulation.duration());
    let clients = stats.absences.len().max(1) as f64;
    let nodes = || simulation.nodes.all();
    let busiest = nodes().map(|node| node.cores.work.peak()).max();
    let longest = nodes().map(|node| node.cores.longest_wait).max();
    let connects = nodes().map(|node| node.arrivals.peak()).max();
    let sockets = nodes().map(|node| node.most_sockets).max();
    let busy = to_seconds(busiest.unwrap_or(0)) / f64::from(scenario.parameters.cores);
    let columns = [
        format_number(to_seconds(duration)),
        stats.still_away.to_string(),
        format_number(stats.attempts as f64 / clients),
        format_number(stats.timed_out as f64),
        format_number(stats.rejected as f64),
        format_number(sockets.unwrap_or(0) as f64),
        format_number(connects.unwrap_or(0) as f64),
        format_percent(busy),
        format_number(1000.0 * to_seconds(longest.unwrap_or(0))),
    ];
    let [p50, p99, max] = simulation
        .stats
        .absences
        .per_mille([500, 990, 1000])
        .map(|absence| format_number(to_seconds(absence)));
    let [
        duration,
        away,
        attempts,
        timed_out,
        rejected,
        sockets,
        connects,
        busy,
        wait,
    ] = columns;
    let name = scenario.name.to_owned();
    [
        name, p50, p99, max, duration, away, attempts, timed_out, rejected, sockets, connects,
        busy, wait,
    ]
}

fn server_row(scenario: &Scenario, simulation: &ReconnectSimulation) -> [String; 10] {
    let backend = &simulation.backend;
    let database =
        to_seconds(backend.database.work.peak()) / f64::from(scenario.parameters.database_cores);
    let publications = backend.redis.work.sum() + backend.nodes_topic.work.sum();
    [
        scenario.name.to_owned(),
        format_number(backend.queries.peak() as f64),
        format_percent(database),
        format_number(to_seconds(backend.database.longest_wait)),
        format_number(simulation.stats.log_pages as f64),
        format_number(simulation.stats.new_rooms as f64),
        format_number(to_seconds(publications)),
        format_number(to_seconds(backend.redis.longest_wait)),
        format_number(to_seconds(backend.nodes_topic.longest_wait)),
        format_number(backend.dropped_publications as f64),
    ]
}
