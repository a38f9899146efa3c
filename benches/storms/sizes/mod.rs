//! What it takes to serve a million sockets and more, by the figures, with the code as it is.
//!
//! These are sums, not simulations: each row is a rate times a cost. Loads are in cores that would
//! be busy all the time.

mod size;

use std::io::{Result, Write};

use self::size::Size;
use crate::{
    figures::Figures,
    table::{Table, short},
};

const SOCKETS: [f64; 4] = [1e5, 1e6, 1e7, 1e8];

const MIB: f64 = 1024.0 * 1024.0;

/// `RING` of `src/channels/hub/tail.rs`.
const RING: f64 = 256.0;

/// Ports by which one address of a proxy reaches one of a node.
const PORTS: f64 = 28_000.0;

/// All sockets come back within the first of `retry_ms`.
const BACK_WITHIN_S: f64 = 5.0;

/// Of its core, what a server of Redis may be busy.
const FULL: f64 = 0.7;

type Sums = Table<6>;

pub fn print(out: &mut impl Write, figures: &Figures) -> Result<()> {
    let sizes = SOCKETS.map(|sockets| Size { figures, sockets });
    let mut table = Sums::new(["", "by", "100 k", "1 M", "10 M", "100 M"]);
    of_nodes(&mut table, &sizes);
    table.print(out, "Nodes", &about(figures))?;
    let mut table = Sums::new([
        "cores of Redis for",
        "by, in src/channels/",
        "100 k",
        "1 M",
        "10 M",
        "100 M",
    ]);
    of_redis(&mut table, &sizes);
    table.print(
        out,
        "Redis",
        "Of all servers together; what goes over the topic of all nodes is one server's.",
    )?;
    let mut table = Sums::new([
        "cores of PostgreSQL for",
        "by, in src/",
        "100 k",
        "1 M",
        "10 M",
        "100 M",
    ]);
    of_database(&mut table, &sizes);
    table.print(
        out,
        "PostgreSQL",
        "Appends by what was measured on two cores, the rest by guesses for each query and row.",
    )
}

fn about(figures: &Figures) -> String {
    format!(
        "{} sockets a node, {} groups a socket, {} sockets a group, {} messages a second from each socket; a \
         socket lasts {} s.",
        figures.sockets, figures.groups, figures.online, figures.messages, figures.lasts_s
    )
}

fn of_nodes(table: &mut Sums, sizes: &[Size; 4]) {
    let mut row =
        |what: &str, by: &str, value: &dyn Fn(&Size) -> f64| add(table, what, by, sizes, value);
    row("nodes", "sockets of each", &|size| size.nodes());
    row("groups", "", &|size| size.groups());
    row("groups active on a node", "hub/mod.rs, `rooms`", &|size| {
        size.rooms()
    });
    row("GiB a node: sockets", "connection/mod.rs", &|size| {
        let figures = size.figures;
        let each = figures.socket_kib + f64::from(figures.groups) * figures.place_kib;
        f64::from(figures.sockets) * each / MIB
    });
    row("GiB a node: the kernel's part of them", "", &|size| {
        f64::from(size.figures.sockets) * size.figures.kernel_kib / MIB
    });
    row("GiB a node: groups without rings", "hub/room.rs", &|size| {
        size.rooms() * size.figures.room_kib / MIB
    });
    row(
        "GiB a node: rings, once full",
        "hub/tail.rs, `RING`",
        &|size| size.rooms() * RING * size.figures.kept_bytes / 1024.0 / MIB,
    );
    row("hours until they are", "", &|size| {
        RING / size.figures.events_of_a_group() / 3600.0
    });
    row(
        "deliveries/s of events, a node",
        "hub/telling.rs",
        &|size| size.deliveries()[0],
    );
    row("cores a node: events", "hub/telling.rs", &|size| {
        size.deliveries()[0] * size.figures.delivery_us / 1e6
    });
    row(
        "cores a node: whispers",
        "hub/listener.rs, `whisper`",
        &|size| size.deliveries()[1] * size.figures.turn_us / 1e6,
    );
    row(
        "cores a node: words of others, in one task",
        "hub/mod.rs, `listen`",
        &|size| size.heard() * size.figures.word_us / 1e6,
    );
    row(
        "cores a node: sockets that open",
        "controllers/socket.rs",
        &|size| size.connects() / size.nodes() * connect_us(size) / 1e6,
    );
    row(
        "cores a node: all come back in 5 s",
        "controllers/socket.rs",
        &|size| f64::from(size.figures.sockets) / BACK_WITHIN_S * connect_us(size) / 1e6,
    );
    row("Mbit/s a node, events", "", &|size| {
        size.deliveries()[0] * size.figures.wire_bytes * 8.0 / 1e6
    });
    row(
        "addresses of proxies, at least",
        "28,000 ports to a node",
        &|size| (f64::from(size.figures.sockets) / PORTS).ceil(),
    );
}

fn connect_us(size: &Size) -> f64 {
    size.figures.connect_us + f64::from(size.figures.groups) * size.figures.place_us
}

fn of_redis(table: &mut Sums, sizes: &[Size; 4]) {
    let group = |size: &Size, place: usize| {
        let (_, _, rate) = size.of_groups().get(place).copied().unwrap_or_default();
        size.redis(rate, size.hearing())
    };
    let node = |size: &Size, place: usize| {
        let (_, _, rate) = size.of_nodes().get(place).copied().unwrap_or_default();
        size.redis(rate, size.nodes() - 1.0)
    };
    let [first, ..] = sizes;
    for (place, (what, by, _)) in first.of_groups().into_iter().enumerate() {
        add(table, what, by, sizes, &|size| group(size, place));
    }
    for (place, (what, by, _)) in first.of_nodes().into_iter().enumerate() {
        add(
            table,
            &format!("{what}, to all nodes"),
            by,
            sizes,
            &|size| node(size, place),
        );
    }
    let groups = |size: &Size| (0..6).map(|place| group(size, place)).sum::<f64>();
    let nodes = |size: &Size| (0..3).map(|place| node(size, place)).sum::<f64>();
    add(
        table,
        "**servers at 70 %, but for the topic of all nodes**",
        "",
        sizes,
        &|size| (groups(size) / FULL).ceil(),
    );
    add(
        table,
        "**that topic's one server, of its core**",
        "",
        sizes,
        &nodes,
    );
    add(table, "servers for events alone", "", sizes, &|size| {
        (group(size, 0) / FULL).ceil()
    });
    add(
        table,
        "nodes that hear a group's event",
        "",
        sizes,
        &|size| size.hearing(),
    );
}

fn of_database(table: &mut Sums, sizes: &[Size; 4]) {
    let cores = |size: &Size, place: usize| {
        let (_, _, cores) = size.database().get(place).copied().unwrap_or_default();
        cores
    };
    let [first, ..] = sizes;
    for (place, (what, by, _)) in first.database().into_iter().enumerate() {
        add(table, what, by, sizes, &|size| cores(size, place));
    }
    add(table, "**all**", "", sizes, &|size| {
        (0..7).map(|place| cores(size, place)).sum()
    });
    add(
        table,
        "sweeps while Redis is away",
        "hub/healing.rs, `sweep_by_the_clock`",
        sizes,
        &|size| size.swept_without_redis(),
    );
    add(table, "messages a second", "", sizes, &|size| {
        size.messages()
    });
    add(
        table,
        "queries/s when all come back in 5 s",
        "controllers/socket.rs",
        sizes,
        &|size| size.sockets / BACK_WITHIN_S * 3.0,
    );
}

fn add(table: &mut Sums, what: &str, by: &str, sizes: &[Size; 4], value: &dyn Fn(&Size) -> f64) {
    let [small, million, ten, hundred] = sizes.each_ref().map(|size| short(value(size)));
    table.row([what.to_owned(), by.to_owned(), small, million, ten, hundred]);
}
