//! What it takes to serve a million sockets and more, by the figures, with the code as it is.
//!
//! These are sums, not simulations: each row is a rate times a cost. Loads are in cores that would
//! be busy all the time.

mod deployment;

use std::io::{Result, Write};

use self::deployment::Deployment;
use crate::{
    parameters::Parameters,
    table::{Table, format_number},
};

const SOCKET_COUNTS: [f64; 4] = [1e5, 1e6, 1e7, 1e8];

const MIB: f64 = 1024.0 * 1024.0;

/// `BUFFER_EVENTS` of `src/channels/hub/event_buffer.rs`.
const BUFFER_EVENTS: f64 = 256.0;

/// Ports by which one address of a proxy reaches one of a node.
const PORTS_PER_ADDRESS: f64 = 28_000.0;

/// All sockets come back within the first of `retry_ms`.
const RECONNECT_WINDOW_S: f64 = 5.0;

/// Of its core, what a server of Redis may be busy.
const MAX_UTILIZATION: f64 = 0.7;

type SizeTable = Table<6>;

pub fn print(out: &mut impl Write, figures: &Parameters) -> Result<()> {
    let sizes = SOCKET_COUNTS.map(|sockets| Deployment {
        parameters: figures,
        sockets,
    });
    let mut table = SizeTable::new(["", "by", "100 k", "1 M", "10 M", "100 M"]);
    add_node_rows(&mut table, &sizes);
    table.print(out, "Nodes", &describe_parameters(figures))?;
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
        "Of all servers together; what goes over the topic of all nodes is one server's.",
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
        "Appends by what was measured on two cores, the rest by guesses for each query and row.",
    )
}

fn describe_parameters(figures: &Parameters) -> String {
    format!(
        "{} sockets a node, {} groups a socket, {} sockets a group, {} messages a second from each socket; a \
         socket lasts {} s.",
        figures.sockets, figures.groups, figures.online, figures.messages, figures.lasts_s
    )
}

fn add_node_rows(table: &mut SizeTable, sizes: &[Deployment; 4]) {
    let mut row = |what: &str, by: &str, value: &dyn Fn(&Deployment) -> f64| {
        add_row(table, what, by, sizes, value)
    };
    row("nodes", "sockets of each", &|size| size.node_count());
    row("groups", "", &|size| size.group_count());
    row("groups active on a node", "hub/mod.rs, `rooms`", &|size| {
        size.rooms_per_node()
    });
    row("GiB a node: sockets", "connection/mod.rs", &|size| {
        let figures = size.parameters;
        let each = figures.socket_kib + f64::from(figures.groups) * figures.place_kib;
        f64::from(figures.sockets) * each / MIB
    });
    row("GiB a node: the kernel's part of them", "", &|size| {
        f64::from(size.parameters.sockets) * size.parameters.kernel_kib / MIB
    });
    row("GiB a node: groups without rings", "hub/room.rs", &|size| {
        size.rooms_per_node() * size.parameters.room_kib / MIB
    });
    row(
        "GiB a node: rings, once full",
        "hub/tail.rs, `RING`",
        &|size| size.rooms_per_node() * BUFFER_EVENTS * size.parameters.kept_bytes / 1024.0 / MIB,
    );
    row("hours until they are", "", &|size| {
        BUFFER_EVENTS / size.parameters.events_of_a_group() / 3600.0
    });
    row(
        "deliveries/s of events, a node",
        "hub/telling.rs",
        &|size| size.deliveries_per_node()[0],
    );
    row("cores a node: events", "hub/telling.rs", &|size| {
        size.deliveries_per_node()[0] * size.parameters.delivery_us / 1e6
    });
    row(
        "cores a node: whispers",
        "hub/listener.rs, `whisper`",
        &|size| size.deliveries_per_node()[1] * size.parameters.turn_us / 1e6,
    );
    row(
        "cores a node: words of others, in one task",
        "hub/mod.rs, `listen`",
        &|size| size.received_per_node() * size.parameters.word_us / 1e6,
    );
    row(
        "cores a node: sockets that open",
        "controllers/socket.rs",
        &|size| size.connects_per_s() / size.node_count() * connect_us(size) / 1e6,
    );
    row(
        "cores a node: all come back in 5 s",
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
    let group = |size: &Deployment, place: usize| {
        let (_, _, rate) = size
            .group_publications()
            .get(place)
            .copied()
            .unwrap_or_default();
        size.redis_cores(rate, size.other_nodes_subscribed())
    };
    let node = |size: &Deployment, place: usize| {
        let (_, _, rate) = size
            .node_publications()
            .get(place)
            .copied()
            .unwrap_or_default();
        size.redis_cores(rate, size.node_count() - 1.0)
    };
    let [first, ..] = sizes;
    for (place, (what, by, _)) in first.group_publications().into_iter().enumerate() {
        add_row(table, what, by, sizes, &|size| group(size, place));
    }
    for (place, (what, by, _)) in first.node_publications().into_iter().enumerate() {
        add_row(
            table,
            &format!("{what}, to all nodes"),
            by,
            sizes,
            &|size| node(size, place),
        );
    }
    let groups = |size: &Deployment| (0..6).map(|place| group(size, place)).sum::<f64>();
    let nodes = |size: &Deployment| (0..3).map(|place| node(size, place)).sum::<f64>();
    add_row(
        table,
        "**servers at 70 %, but for the topic of all nodes**",
        "",
        sizes,
        &|size| (groups(size) / MAX_UTILIZATION).ceil(),
    );
    add_row(
        table,
        "**that topic's one server, of its core**",
        "",
        sizes,
        &nodes,
    );
    add_row(table, "servers for events alone", "", sizes, &|size| {
        (group(size, 0) / MAX_UTILIZATION).ceil()
    });
    add_row(
        table,
        "nodes that hear a group's event",
        "",
        sizes,
        &|size| size.other_nodes_subscribed(),
    );
}

fn add_database_rows(table: &mut SizeTable, sizes: &[Deployment; 4]) {
    let cores = |size: &Deployment, place: usize| {
        let (_, _, cores) = size
            .database_cores()
            .get(place)
            .copied()
            .unwrap_or_default();
        cores
    };
    let [first, ..] = sizes;
    for (place, (what, by, _)) in first.database_cores().into_iter().enumerate() {
        add_row(table, what, by, sizes, &|size| cores(size, place));
    }
    add_row(table, "**all**", "", sizes, &|size| {
        (0..7).map(|place| cores(size, place)).sum()
    });
    add_row(
        table,
        "sweeps while Redis is away",
        "hub/healing.rs, `sweep_by_the_clock`",
        sizes,
        &|size| size.sweep_cores_without_redis(),
    );
    add_row(table, "messages a second", "", sizes, &|size| {
        size.messages_per_s()
    });
    add_row(
        table,
        "queries/s when all come back in 5 s",
        "controllers/socket.rs",
        sizes,
        &|size| size.sockets / RECONNECT_WINDOW_S * 3.0,
    );
}

fn add_row(
    table: &mut SizeTable,
    what: &str,
    by: &str,
    sizes: &[Deployment; 4],
    value: &dyn Fn(&Deployment) -> f64,
) {
    let [small, million, ten, hundred] = sizes.each_ref().map(|size| format_number(value(size)));
    table.add_row([what.to_owned(), by.to_owned(), small, million, ten, hundred]);
}
