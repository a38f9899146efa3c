//! Calculates the hardware for a million sockets and more, from the parameters and the current
//! code.
//!
//! Each row is a rate multiplied by a cost. Loads are numbers of fully busy cores.

mod deployment;

use std::io::{Result, Write};

use self::deployment::Deployment;
use crate::{
    parameters::Parameters,
    table::{Table, format_number},
};

const SOCKET_COUNTS: [f64; 4] = [1e5, 1e6, 1e7, 1e8];

const MIB: f64 = 1024.0 * 1024.0;

/// `BUFFER_EVENTS` of `src/channels/delivery/event_buffer.rs`.
const BUFFER_EVENTS: f64 = 256.0;

/// The ports by which one address of a proxy can reach one address of a node.
const PORTS_PER_ADDRESS: f64 = 28_000.0;

/// The time in which all sockets reconnect: the first range of `retry_ms`.
const RECONNECT_WINDOW_S: f64 = 5.0;

/// The largest utilization of a Redis server's core.
const MAX_UTILIZATION: f64 = 0.7;

type SizeTable = Table<6>;

/// Prints the tables of nodes, Redis and PostgreSQL.
pub fn print(out: &mut impl Write, parameters: &Parameters) -> Result<()> {
    let sizes = SOCKET_COUNTS.map(|sockets| Deployment {
        parameters,
        sockets,
    });
    let mut table = SizeTable::new(["", "by", "100 k", "1 M", "10 M", "100 M"]);
    add_node_rows(&mut table, &sizes);
    table.print(out, "Nodes", &describe_parameters(parameters))?;
    let mut table = SizeTable::new([
        "cores of Redis for",
        "by, in src/channels/",
        "100 k",
        "1 M",
        "10 M",
        "100 M",
    ]);
    add_redis_rows(&mut table, &sizes);
    table.print(
        out,
        "Redis",
        "The sum over all servers. One server carries all messages of the topic of the cluster.",
    )?;
    let mut table = SizeTable::new([
        "cores of PostgreSQL for",
        "by, in src/",
        "100 k",
        "1 M",
        "10 M",
        "100 M",
    ]);
    add_database_rows(&mut table, &sizes);
    table.print(
        out,
        "PostgreSQL",
        "Appends are calculated from a measurement on two cores, the rest from guesses for each query and row.",
    )
}

fn describe_parameters(parameters: &Parameters) -> String {
    format!(
        "{} sockets a node, {} groups a socket, {} sockets a group, {} messages a second from each socket; a \
         socket lasts {} s.",
        parameters.sockets,
        parameters.groups,
        parameters.online,
        parameters.messages,
        parameters.lasts_s
    )
}

fn add_node_rows(table: &mut SizeTable, sizes: &[Deployment; 4]) {
    let mut row = |label: &str, source: &str, value: &dyn Fn(&Deployment) -> f64| {
        add_row(table, label, source, sizes, value)
    };
    row("nodes", "sockets of each", &|size| size.node_count());
    row("groups", "", &|size| size.group_count());
    row(
        "active groups on a node",
        "delivery/rooms.rs, `rooms`",
        &|size| size.rooms_per_node(),
    );
    row("GiB a node: sockets", "connection/mod.rs", &|size| {
        let parameters = size.parameters;
        let each = parameters.socket_kib + f64::from(parameters.groups) * parameters.place_kib;
        f64::from(parameters.sockets) * each / MIB
    });
    row("GiB a node: sockets in the kernel", "", &|size| {
        f64::from(size.parameters.sockets) * size.parameters.kernel_kib / MIB
    });
    row(
        "GiB a node: groups without event buffers",
        "delivery/room.rs",
        &|size| size.rooms_per_node() * size.parameters.room_kib / MIB,
    );
    row(
        "GiB a node: full event buffers",
        "delivery/event_buffer.rs, `BUFFER_EVENTS`",
        &|size| size.rooms_per_node() * BUFFER_EVENTS * size.parameters.kept_bytes / 1024.0 / MIB,
    );
    row("hours until the event buffers are full", "", &|size| {
        BUFFER_EVENTS / size.parameters.events_of_a_group() / 3600.0
    });
    row(
        "deliveries/s of events, a node",
        "delivery/broadcast.rs",
        &|size| size.deliveries_per_node()[0],
    );
    row("cores a node: events", "delivery/broadcast.rs", &|size| {
        size.deliveries_per_node()[0] * size.parameters.delivery_us / 1e6
    });
    row(
        "cores a node: ephemeral events",
        "delivery/subscriber.rs, `queue_ephemeral`",
        &|size| size.deliveries_per_node()[1] * size.parameters.turn_us / 1e6,
    );
    row(
        "cores a node: messages of other nodes, in one task",
        "hub.rs, `run_inbox`",
        &|size| size.received_per_node() * size.parameters.word_us / 1e6,
    );
    row(
        "cores a node: new sockets",
        "controllers/socket.rs",
        &|size| size.connects_per_s() / size.node_count() * connect_us(size) / 1e6,
    );
    row(
        "cores a node: all sockets reconnect in 5 s",
        "controllers/socket.rs",
        &|size| f64::from(size.parameters.sockets) / RECONNECT_WINDOW_S * connect_us(size) / 1e6,
    );
    row("Mbit/s a node, events", "", &|size| {
        size.deliveries_per_node()[0] * size.parameters.wire_bytes * 8.0 / 1e6
    });
    row(
        "addresses of proxies, at least",
        "28,000 ports to a node",
        &|size| (f64::from(size.parameters.sockets) / PORTS_PER_ADDRESS).ceil(),
    );
}

fn connect_us(size: &Deployment) -> f64 {
    size.parameters.connect_us + f64::from(size.parameters.groups) * size.parameters.place_us
}

fn add_redis_rows(table: &mut SizeTable, sizes: &[Deployment; 4]) {
    let group = |size: &Deployment, index: usize| {
        let (_, _, rate) = size
            .group_publications()
            .get(index)
            .copied()
            .unwrap_or_default();
        size.redis_cores(rate, size.other_nodes_subscribed())
    };
    let node = |size: &Deployment, index: usize| {
        let (_, _, rate) = size
            .node_publications()
            .get(index)
            .copied()
            .unwrap_or_default();
        size.redis_cores(rate, size.node_count() - 1.0)
    };
    let [first, ..] = sizes;
    for (index, (label, source, _)) in first.group_publications().into_iter().enumerate() {
        add_row(table, label, source, sizes, &|size| group(size, index));
    }
    for (index, (label, source, _)) in first.node_publications().into_iter().enumerate() {
        add_row(
            table,
            &format!("{label}, to all nodes"),
            source,
            sizes,
            &|size| node(size, index),
        );
    }
    let groups = |size: &Deployment| (0..6).map(|index| group(size, index)).sum::<f64>();
    let nodes = |size: &Deployment| (0..3).map(|index| node(size, index)).sum::<f64>();
    add_row(
        table,
        "**servers at 70 %, without the topic of the cluster**",
        "",
        sizes,
        &|size| (groups(size) / MAX_UTILIZATION).ceil(),
    );
    add_row(
        table,
        "**the server of the topic of the cluster, of its core**",
        "",
        sizes,
        &nodes,
    );
    add_row(table, "servers for events alone", "", sizes, &|size| {
        (group(size, 0) / MAX_UTILIZATION).ceil()
    });
    add_row(
        table,
        "nodes that are subscribed to a group",
        "",
        sizes,
        &|size| size.other_nodes_subscribed(),
    );
}

fn add_database_rows(table: &mut SizeTable, sizes: &[Deployment; 4]) {
    let cores = |size: &Deployment, index: usize| {
        let (_, _, cores) = size
            .database_cores()
            .get(index)
            .copied()
            .unwrap_or_default();
        cores
    };
    let [first, ..] = sizes;
    for (index, (label, source, _)) in first.database_cores().into_iter().enumerate() {
        add_row(table, label, source, sizes, &|size| cores(size, index));
    }
    add_row(table, "**all**", "", sizes, &|size| {
        (0..7).map(|index| cores(size, index)).sum()
    });
    add_row(
        table,
        "sweeps while Redis is unreachable",
        "hub.rs, `run_sweep`",
        sizes,
        &|size| size.sweep_cores_without_redis(),
    );
    add_row(table, "messages a second", "", sizes, &|size| {
        size.messages_per_s()
    });
    add_row(
        table,
        "queries/s when all sockets reconnect in 5 s",
        "controllers/socket.rs",
        sizes,
        &|size| size.sockets / RECONNECT_WINDOW_S * 3.0,
    );
}

fn add_row(
    table: &mut SizeTable,
    label: &str,
    source: &str,
    sizes: &[Deployment; 4],
    value: &dyn Fn(&Deployment) -> f64,
) {
    let [small, million, ten, hundred] = sizes.each_ref().map(|size| format_number(value(size)));
    table.add_row([
        label.to_owned(),
        source.to_owned(),
        small,
        million,
        ten,
        hundred,
    ]);
}
