//! A measured server with people on it, whichever it is, and the sockets that they open.

use std::{sync::Arc, time::Duration};

use salam_benches::{
    Result,
    cores::Core,
    load::{Load, Spec, drive, speech::Speech, tally::Flaws},
    node::{Node, Place},
    people::Town,
    running::Running,
};

use super::{floors::Kind, setting::Setting};

pub const SALAM: &str = "Salam";
pub const AXUM: &str = "axum floor";
pub const EPOLL: &str = "floor";
pub const ALL: [&str; 3] = [SALAM, AXUM, EPOLL];

/// Members of each group.
pub const PEOPLE: usize = 4;

pub enum Stage {
    Salam {
        town: Town,
        /// Who speaks, does it here, if there are two nodes.
        near: Option<Node>,
        node: Node,
    },
    Floor {
        process: Running,
        port: u16,
    },
}

impl Stage {
    /// A contender with so many groups; Salam on a file of SQLite of its own.
    pub fn set(setting: &Setting, contender: &str, groups: usize) -> Result<Self> {
        match contender {
            AXUM => Self::floor(Kind::Axum),
            EPOLL => Self::floor(Kind::Epoll),
            _ => Self::salam(setting, &Place::sqlite()?, groups),
        }
    }

    /// One node of Salam.
    pub fn salam(setting: &Setting, place: &Arc<Place>, groups: usize) -> Result<Self> {
        let node = Node::start(&setting.salam, place, Core::Measured)?;
        Ok(Self::Salam {
            town: Town::settle(node.port, PEOPLE, groups)?,
            near: None,
            node,
        })
    }

    /// Two nodes: what is said at the near one, on this core, is measured where it is heard.
    pub fn far(setting: &Setting, place: &Arc<Place>, core: Core, groups: usize) -> Result<Self> {
        let near = Node::start(&setting.salam, place, core)?;
        let node = Node::start(&setting.salam, place, Core::Measured)?;
        Ok(Self::Salam {
            town: Town::settle(near.port, PEOPLE, groups)?,
            near: Some(near),
            node,
        })
    }

    fn floor(kind: Kind) -> Result<Self> {
        let (process, port) = kind.start()?;
        Ok(Self::Floor { process, port })
    }

    pub fn process(&self) -> &Running {
        match self {
            Self::Salam { node, .. } => &node.process,
            Self::Floor { process, .. } => process,
        }
    }

    /// A socket of a group that listens.
    pub fn listener(&self, group: usize, number: usize) -> Spec {
        match self {
            Self::Salam { town, node, .. } => rich(town, node.port, group, number, true),
            Self::Floor { port, .. } => plain(*port, format!("/fan?{group}"), group),
        }
    }

    /// A socket of a group that speaks, of another person than in the next group: no limit is to be met.
    /// On a single server it listens like the others.
    pub fn speaker(&self, group: usize) -> Spec {
        match self {
            Self::Salam {
                town,
                near: Some(near),
                ..
            } => rich(town, near.port, group, group, false),
            _ => self.listener(group, group),
        }
    }

    /// A socket that is answered, and posts nothing.
    pub fn asker(&self, number: usize) -> Spec {
        match self {
            Self::Salam { town, node, .. } => base(town, node.port, 0, number),
            Self::Floor { port, .. } => plain(*port, "/answer".to_owned(), 0),
        }
    }
}

pub fn rich(town: &Town, port: u16, group: usize, number: usize, counts: bool) -> Spec {
    let (name, access) = (town.group(group), town.access(number));
    Spec {
        port,
        path: format!("/ws/chat/{name}/"),
        speech: Speech::Rich(name.to_owned()),
        headers: format!(
            "Authorization: Bearer {access}\r\nSec-WebSocket-Protocol: chat.v1.json\r\n"
        ),
        group,
        after: None,
        counts,
    }
}

pub fn base(town: &Town, port: u16, group: usize, number: usize) -> Spec {
    Spec {
        port,
        path: format!("/ws/chat/{}/", town.group(group)),
        speech: Speech::Base,
        headers: format!("Cookie: access={}\r\n", town.access(number)),
        group,
        after: None,
        counts: false,
    }
}

fn plain(port: u16, path: String, group: usize) -> Spec {
    Spec {
        port,
        counts: path.starts_with("/fan"),
        path,
        speech: Speech::Plain,
        headers: String::new(),
        group,
        after: None,
    }
}

/// Groups in which one speaks and the others listen.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub groups: usize,
    /// Who listen, in each.
    pub size: usize,
}

/// What such a crowd has cost.
pub struct Outcome {
    pub cpu: Duration,
    pub delivered: u64,
    /// Events that a socket has read at once.
    pub at_once: f64,
    pub p50: f64,
    pub p99: f64,
    pub flaws: Flaws,
}

/// Gathers the crowd, has it warm up, and measures what the server spends while it is told something.
pub fn tell(
    stage: &Stage,
    crowd: Crowd,
    say: impl Fn(&mut Load, &[(usize, usize)], Duration) -> Result<()>,
    time: Duration,
) -> Result<Outcome> {
    let mut load = Load::new()?;
    let listeners = (0..crowd.groups * crowd.size)
        .map(|number| stage.listener(number % crowd.groups, number / crowd.groups));
    drive::open_all(&mut load, listeners.collect())?;
    let speakers = (0..crowd.groups)
        .map(|group| stage.speaker(group))
        .collect();
    let speakers = drive::open_all(&mut load, speakers)?;
    let speakers: Vec<_> = speakers.into_iter().zip(0..).collect();
    say(&mut load, &speakers, time / 4)?;
    load.tally.begin();
    let before = stage.process().cpu()?;
    say(&mut load, &speakers, time)?;
    let cpu = stage.process().cpu()?.saturating_sub(before);
    load.count_lost();
    load.check()?;
    Ok(Outcome {
        cpu,
        delivered: load.tally.delivered,
        at_once: load.tally.delivered as f64 / load.tally.reads.max(1) as f64,
        p50: load.tally.latency.percentile(50.0),
        p99: load.tally.latency.percentile(99.0),
        flaws: load.tally.flaws,
    })
}
