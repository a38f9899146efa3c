//! A measured server of any kind, with users and groups, and the sockets of a load.

use std::{sync::Arc, time::Duration};

use salam_benches::{
    Result,
    child_process::ChildProcess,
    cores::Core,
    load::{LoadGenerator, SocketSpec, drive, protocol::SocketProtocol, stats::Flaws},
    node::{Installation, Node},
    users::UsersAndGroups,
};

use super::{floors::Baseline, run_context::RunContext};

/// The name of Salam in tables.
pub const SALAM: &str = "Salam";
/// The name of the axum baseline in tables.
pub const AXUM_FLOOR: &str = "axum floor";
/// The name of the epoll baseline in tables.
pub const EPOLL_FLOOR: &str = "floor";
/// The servers that most measures compare.
pub const CONTENDERS: [&str; 3] = [SALAM, AXUM_FLOOR, EPOLL_FLOOR];

/// The number of members of each group.
pub const USERS_PER_GROUP: usize = 4;

/// A running server.
pub enum Testbed {
    /// One or two nodes of Salam.
    Salam {
        users: UsersAndGroups,
        /// The node of the senders, if there are two nodes.
        sender_node: Option<Node>,
        node: Node,
    },
    /// A baseline server.
    Floor { process: ChildProcess, port: u16 },
}

impl Testbed {
    /// Starts a contender with a number of groups. Salam uses an SQLite file of its own.
    pub fn start(context: &RunContext, contender: &str, groups: usize) -> Result<Self> {
        match contender {
            AXUM_FLOOR => Self::start_baseline(Baseline::Axum),
            EPOLL_FLOOR => Self::start_baseline(Baseline::Epoll),
            _ => Self::start_salam(context, &Installation::sqlite()?, groups),
        }
    }

    /// Starts one node of Salam.
    pub fn start_salam(
        context: &RunContext,
        installation: &Arc<Installation>,
        groups: usize,
    ) -> Result<Self> {
        let node = Node::start(&context.salam, installation, Core::Measured)?;
        Ok(Self::Salam {
            users: UsersAndGroups::create(node.port, USERS_PER_GROUP, groups)?,
            sender_node: None,
            node,
        })
    }

    /// Starts two nodes. Senders use the near node, on `core`. The far node is measured.
    pub fn start_two_nodes(
        context: &RunContext,
        installation: &Arc<Installation>,
        core: Core,
        groups: usize,
    ) -> Result<Self> {
        let near = Node::start(&context.salam, installation, core)?;
        let node = Node::start(&context.salam, installation, Core::Measured)?;
        Ok(Self::Salam {
            users: UsersAndGroups::create(near.port, USERS_PER_GROUP, groups)?,
            sender_node: Some(near),
            node,
        })
    }

    fn start_baseline(kind: Baseline) -> Result<Self> {
        let (process, port) = kind.start()?;
        Ok(Self::Floor { process, port })
    }

    /// Sends messages to each group. Returns the load, whose sockets stay connected, and the heads of the groups.
    pub fn send_history(&self, groups: usize, messages: u64) -> Result<(LoadGenerator, Vec<u64>)> {
        let mut load = LoadGenerator::new()?;
        let senders = (0..groups).map(|group| self.sender_spec(group)).collect();
        let senders = drive::open_all(&mut load, senders)?;
        for _ in 0..messages {
            drive::request_and_repeat(&mut load, &senders, Duration::ZERO)?;
        }
        let heads = (0..groups)
            .map(|group| load.stats.last_seq(group))
            .collect();
        Ok((load, heads))
    }

    /// Returns the process of the measured server.
    pub fn process(&self) -> &ChildProcess {
        match self {
            Self::Salam { node, .. } => &node.process,
            Self::Floor { process, .. } => process,
        }
    }

    /// Returns a socket of a group that only receives.
    pub fn listener_spec(&self, group: usize, user: usize) -> SocketSpec {
        match self {
            Self::Salam { users, node, .. } => rich_spec(users, node.port, group, user, true),
            Self::Floor { port, .. } => baseline_spec(*port, format!("/fan?{group}"), group),
        }
    }

    /// Returns the socket of a group that sends. Neighbouring groups have different senders, so
    /// that no limit is reached.
    ///
    /// On a single server, the socket also counts as a receiver.
    pub fn sender_spec(&self, group: usize) -> SocketSpec {
        match self {
            Self::Salam {
                users,
                sender_node: Some(near),
                ..
            } => rich_spec(users, near.port, group, group, false),
            _ => self.listener_spec(group, group),
        }
    }

    /// Returns a socket whose requests get replies and post nothing.
    pub fn requester_spec(&self, user: usize) -> SocketSpec {
        match self {
            Self::Salam { users, node, .. } => base_spec(users, node.port, 0, user),
            Self::Floor { port, .. } => baseline_spec(*port, "/answer".to_owned(), 0),
        }
    }
}

/// Returns a rich socket of Salam.
pub fn rich_spec(
    users: &UsersAndGroups,
    port: u16,
    group: usize,
    user: usize,
    is_measured: bool,
) -> SocketSpec {
    let (name, access) = (users.group(group), users.access(user));
    SocketSpec {
        port,
        path: format!("/ws/chat/{name}/"),
        protocol: SocketProtocol::Rich(name.to_owned()),
        headers: format!(
            "Authorization: Bearer {access}\r\nSec-WebSocket-Protocol: chat.v1.json\r\n"
        ),
        group,
        after: None,
        is_measured,
    }
}

/// Returns a base socket of Salam.
pub fn base_spec(users: &UsersAndGroups, port: u16, group: usize, user: usize) -> SocketSpec {
    SocketSpec {
        port,
        path: format!("/ws/chat/{}/", users.group(group)),
        protocol: SocketProtocol::Base,
        headers: format!("Cookie: access={}\r\n", users.access(user)),
        group,
        after: None,
        is_measured: false,
    }
}

fn baseline_spec(port: u16, path: String, group: usize) -> SocketSpec {
    SocketSpec {
        port,
        is_measured: path.starts_with("/fan"),
        path,
        protocol: SocketProtocol::Plain,
        headers: String::new(),
        group,
        after: None,
    }
}

/// The groups of a broadcast measurement, each with one sender and other sockets that receive.
#[derive(Clone, Copy)]
pub struct Audience {
    /// The number of groups.
    pub groups: usize,
    /// The number of receiving sockets in each group.
    pub listeners_per_group: usize,
}

/// The results of a broadcast measurement.
pub struct Outcome {
    /// The CPU time of the server.
    pub cpu: Duration,
    /// The number of deliveries.
    pub delivered: u64,
    /// The average number of events in one read of a socket.
    pub events_per_read: f64,
    /// The median latency in milliseconds.
    pub p50: f64,
    /// The latency in milliseconds that 99 % of deliveries do not exceed.
    pub p99: f64,
    /// The faults of all sockets.
    pub flaws: Flaws,
}

/// Opens the sockets, warms up the server, and measures its cost while the load sends.
pub fn measure_broadcast(
    testbed: &Testbed,
    audience: Audience,
    send: impl Fn(&mut LoadGenerator, &[(usize, usize)], Duration) -> Result<()>,
    time: Duration,
) -> Result<Outcome> {
    let mut load = LoadGenerator::new()?;
    let listeners = (0..audience.groups * audience.listeners_per_group)
        .map(|index| testbed.listener_spec(index % audience.groups, index / audience.groups));
    drive::open_all(&mut load, listeners.collect())?;
    let senders = (0..audience.groups)
        .map(|group| testbed.sender_spec(group))
        .collect();
    let senders = drive::open_all(&mut load, senders)?;
    let senders: Vec<_> = senders.into_iter().zip(0..).collect();
    send(&mut load, &senders, time / 4)?;
    load.stats.reset();
    let before = testbed.process().cpu_time()?;
    send(&mut load, &senders, time)?;
    let cpu = testbed.process().cpu_time()?.saturating_sub(before);
    load.count_lost();
    load.check()?;
    Ok(Outcome {
        cpu,
        delivered: load.stats.deliveries,
        events_per_read: load.stats.deliveries as f64 / load.stats.reads.max(1) as f64,
        p50: load.stats.latency.percentile(50.0),
        p99: load.stats.latency.percentile(99.0),
        flaws: load.stats.flaws,
    })
}
