//! Responses of the health probes.

use serde::Serialize;

use crate::{
    channels::{CanaryReport, HealthReport},
    health::{Fault, NodeState},
};

/// The response of the liveness probe: the process works, or only a restart can help.
#[derive(Serialize)]
pub struct Liveness {
    pub ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Liveness {
    #[must_use]
    pub fn new(faults: &[Fault]) -> Self {
        Self {
            ok: faults.is_empty(),
            reasons: codes(faults),
        }
    }
}

/// The response of the readiness probe: ready or not, the state, and the reasons.
#[derive(Serialize)]
pub struct Readiness {
    pub ok: bool,
    state: NodeState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Readiness {
    #[must_use]
    pub fn new(faults: &[Fault]) -> Self {
        let state = NodeState::of(faults);
        Self {
            ok: state.is_ready(),
            state,
            reasons: codes(faults),
        }
    }
}

/// The state of a node in detail, for its operator.
#[derive(Serialize)]
pub struct Health {
    pub ok: bool,
    state: NodeState,
    reasons: Vec<&'static str>,
    node: Node,
    version: &'static str,
    epoch: String,
    canary: Canary,
    peers: Vec<Peer>,
    /// `null` without Redis.
    redis: Option<Redis>,
    database: Database,
}

#[derive(Serialize)]
struct Node {
    name: String,
    id: String,
}

#[derive(Serialize)]
struct Canary {
    /// Seconds since the last canary arrived.
    age_seconds: f64,
    /// Seconds that the last canary took; `null` before the first one.
    delay_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Peer {
    #[serde(flatten)]
    node: Node,
    state: &'static str,
    #[serde(flatten)]
    canary: Canary,
}

#[derive(Serialize)]
struct Redis {
    is_connected: bool,
    expected_servers: usize,
    connected_servers: usize,
}

#[derive(Serialize)]
struct Database {
    kind: &'static str,
    idle_connections: usize,
    used_connections: usize,
    max_connections: usize,
}

impl From<HealthReport> for Health {
    fn from(report: HealthReport) -> Self {
        let peers = report.peers.into_iter().map(|peer| Peer {
            state: if peer.is_silent { "silent" } else { "ok" },
            canary: Canary::from(&peer),
            node: Node::from(peer),
        });
        Self {
            ok: report.state.is_ready(),
            state: report.state,
            reasons: codes(&report.faults),
            version: env!("CARGO_PKG_VERSION"),
            epoch: report.epoch,
            canary: Canary::from(&report.own_canary),
            node: Node::from(report.own_canary),
            peers: peers.collect(),
            redis: report.redis_servers.map(|(expected, connected)| Redis {
                is_connected: expected == connected,
                expected_servers: expected,
                connected_servers: connected,
            }),
            database: Database {
                kind: report.database,
                idle_connections: report.pool.idle,
                used_connections: report.pool.used,
                max_connections: report.pool.max,
            },
        }
    }
}

impl From<&CanaryReport> for Canary {
    fn from(report: &CanaryReport) -> Self {
        Self {
            age_seconds: to_millis_precision(report.age.as_secs_f64()),
            delay_seconds: report
                .delay
                .map(|delay| to_millis_precision(delay.as_secs_f64())),
        }
    }
}

impl From<CanaryReport> for Node {
    fn from(report: CanaryReport) -> Self {
        Self {
            name: report.name,
            id: report.id,
        }
    }
}

fn codes(faults: &[Fault]) -> Vec<&'static str> {
    faults.iter().map(|fault| fault.code()).collect()
}

fn to_millis_precision(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
