//! A measured server with people on it, whichever it is, and the sockets that they open.

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

pub const SALAM: &str = "Salam";
pub const AXUM_FLOOR: &str = "axum floor";
pub const EPOLL_FLOOR: &str = "floor";
pub const CONTENDERS: [&str; 3] = [SALAM, AXUM_FLOOR, EPOLL_FLOOR];

/// Members of each group.
pub const USERS_PER_GROUP: usize = 4;

pub enum Testbed {
    Salam {
        users: UsersAndGroups,
        /// Who speaks, does it here, if there are two nodes.
        sender_node: Option<Node>,
        node: Node,
    },
    Floor {
        process: ChildProcess,
        port: u16,
    },
}

impl Testbed {
    /// A contender with so many groups; Salam on a file of SQLite of its own.
    pub fn start(setting: &RunContext, contender: &str, groups: usize) -> Result<Self> {
        match contender {
            AXUM_FLOOR => Self::start_baseline(Baseline::Axum),
            EPOLL_FLOOR => Self::start_baseline(Baseline::Epoll),
            _ => Self::start_salam(setting, &Installation::sqlite()?, groups),
        }
    }

    /// One node of Salam.
    pub fn start_salam(
        setting: &RunContext,
        place: &Arc<Installation>,
        groups: usize,
    ) -> Result<Self> {
        let node = Node::start(&setting.salam, place, Core::Measured)?;
        Ok(Self::Salam {
            users: UsersAndGroups::create(node.port, USERS_PER_GROUP, groups)?,
            sender_node: None,
            node,
        })
    }

    /// Two nodes: what is said at the near one, on this core, is measured where it is heard.
    pub fn start_two_nodes(
        setting: &RunContext,
        place: &Arc<Installation>,
        core: Core,
        groups: usize,
    ) -> Result<Self> {
        let near = Node::start(&setting.salam, place, core)?;
        let node = Node::start(&setting.salam, place, Core::Measured)?;
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

    pub fn process(&self) -> &ChildProcess {
        match self {
            Self::Salam { node, .. } => &node.process,
            Self::Floor { process, .. } => process,
        }
    }

    /// A socket of a group that listens.
    pub fn listener_spec(&self, group: usize, number: usize) -> SocketSpec {
        match self {
            Self::Salam {
                users: town, node, ..
            } => rich_spec(town, node.port, group, number, true),
            Self::Floor { port, .. } => baseline_spec(*port, format!("/fan?{group}"), group),
        }
    }

    /// A socket of a group that speaks, of another person than in the next group: no limit is to be met.
    /// On a single server it listens like the others.
    pub fn sender_spec(&self, group: usize) -> SocketSpec {
        match self {
            Self::Salam {
                users: town,
                sender_node: Some(near),
                ..
            } => rich_spec(town, near.port, group, group, false),
            _ => self.listener_spec(group, group),
        }
    }

    /// A socket that is answered, and posts nothing.
    pub fn requester_spec(&self, number: usize) -> SocketSpec {
        match self {
            Self::Salam {
                users: town, node, ..
            } => base_spec(town, node.port, 0, number),
            Self::Floor { port, .. } => baseline_spec(*port, "/answer".to_owned(), 0),
        }
    }
}

pub fn rich_spec(
    town: &UsersAndGroups,
    port: u16,
    group: usize,
    number: usize,
    counts: bool,
) -> SocketSpec {
    let (name, access) = (town.group(group), town.access(number));
    SocketSpec {
        port,
        path: format!("/ws/chat/{name}/"),
        protocol: SocketProtocol::Rich(name.to_owned()),
        headers: format!(
            "Authorization: Bearer {access}\r\nSec-WebSocket-Protocol: chat.v1.json\r\n"
        ),
        group,
        after: None,
        is_measured: counts,
    }
}

pub fn base_spec(town: &UsersAndGroups, port: u16, group: usize, number: usize) -> SocketSpec {
    SocketSpec {
        port,
        path: format!("/ws/chat/{}/", town.group(group)),
        protocol: SocketProtocol::Base,
        headers: format!("Cookie: access={}\r\n", town.access(number)),
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

/// Groups in which one speaks and the others listen.
#[derive(Clone, Copy)]
pub struct Audience {
    pub groups: usize,
    /// Who listen, in each.
    pub listeners_per_group: usize,
}

/// What such a crowd has cost.
pub struct Outcome {
    pub cpu: Duration,
    pub delivered: u64,
    /// Events that a socket has read at once.
    pub events_per_read: f64,
    pub p50: f64,
    pub p99: f64,
    pub flaws: Flaws,
}

/// Gathers the crowd, has it warm up, and measures what the server spends while it is told something.
pub fn measure_broadcast(
    stage: &Testbed,
    crowd: Audience,
    say: impl Fn(&mut LoadGenerator, &[(usize, usize)], Duration) -> Result<()>,
    time: Duration,
) -> Result<Outcome> {
    let mut load = LoadGenerator::new()?;
    let listeners = (0..crowd.groups * crowd.listeners_per_group)
        .map(|number| stage.listener_spec(number % crowd.groups, number / crowd.groups));
    drive::open_all(&mut load, listeners.collect())?;
    let speakers = (0..crowd.groups)
        .map(|group| stage.sender_spec(group))
        .collect();
    let speakers = drive::open_all(&mut load, speakers)?;
    let speakers: Vec<_> = speakers.into_iter().zip(0..).collect();
    say(&mut load, &speakers, time / 4)?;
    load.stats.reset();
    let before = stage.process().cpu()?;
    say(&mut load, &speakers, time)?;
    let cpu = stage.process().cpu()?.saturating_sub(before);
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
