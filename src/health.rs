//! The faults of this node: those that make it unready or forbid writes, and those that only slow it down.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::database::Outage;

/// A reason why a node is not ready, or works with restrictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process has received a signal to stop.
    Stopping,
    /// A task that the node needs has panicked.
    TaskFailed,
    /// The log of a group in the database is behind events that this node has acknowledged.
    LogBehind,
    /// Another file is at the path of the open SQLite file.
    FileReplaced,
    /// The database does not serve queries.
    Database(Outage),
    /// Migrations of this version are still to run.
    SchemaPending,
    /// The database has migrations that this version does not contain.
    SchemaNewer,
    /// The writer does not respond.
    WriterStalled,
    /// The canary of this node does not come back: its writer or its inbox does not work.
    CanaryMissing,
    /// A server of Redis is not connected. Events of other nodes arrive seconds late.
    RedisUnreachable,
    /// Redis is connected, and does not bring the canary of this node back. Events of other nodes arrive late.
    RedisDeaf,
    /// The canaries of another node do not arrive, and the node has not announced its stop.
    PeerSilent,
    /// The clock of this node differs from the clock of the database.
    ClockSkew,
}

/// The state of a node in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// The node serves.
    Ok,
    /// The node serves with restrictions.
    Degraded,
    /// The node cannot serve.
    Failing,
    /// The node stops.
    Draining,
}

impl NodeState {
    /// Returns the state of a node with these faults.
    #[must_use]
    pub fn of(faults: &[Fault]) -> Self {
        if faults.contains(&Fault::Stopping) {
            Self::Draining
        } else if !faults.iter().all(|fault| fault.is_degradation()) {
            Self::Failing
        } else if faults.is_empty() {
            Self::Ok
        } else {
            Self::Degraded
        }
    }

    /// Returns `true` if load balancers may send requests to the node.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }
}

impl Fault {
    /// Returns the fixed code of the fault, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::TaskFailed => "task_failed",
            Self::LogBehind => "log_behind",
            Self::FileReplaced => "database_file_replaced",
            Self::Database(outage) => outage.code(),
            Self::SchemaPending => "database_schema_missing",
            Self::SchemaNewer => "database_schema_newer",
            Self::WriterStalled => "writer_stalled",
            Self::CanaryMissing => "canary_missing",
            Self::RedisUnreachable => "redis_unreachable",
            Self::RedisDeaf => "redis_deaf",
            Self::PeerSilent => "peer_silent",
            Self::ClockSkew => "clock_skew",
        }
    }

    /// Returns `true` if the node still serves all requests. Nothing is lost, and something is late.
    #[must_use]
    pub const fn is_degradation(self) -> bool {
        matches!(
            self,
            Self::RedisUnreachable | Self::RedisDeaf | Self::PeerSilent | Self::ClockSkew
        )
    }
}

/// The current faults of this node. Clones share the faults.
#[derive(Clone, Default)]
pub struct Health(Arc<HealthState>);

#[derive(Default)]
struct HealthState {
    faults: Mutex<BTreeSet<Fault>>,
    /// `true` if a fault forbids writes. The writer reads it for each batch, and the server for each
    /// request.
    forbids_writes: AtomicBool,
    /// The time and reason of the last write that the database refused.
    failed_write: Mutex<Option<(Instant, Outage)>>,
}

/// The time for which a failed write makes the node unready.
///
/// A disk that is nearly full accepts some writes and refuses others, so a successful probe is not
/// enough.
const FAILED_WRITE_WINDOW: Duration = Duration::from_secs(2);

impl Health {
    /// Adds a fault. Returns `true` if the fault is new.
    pub fn add_fault(&self, fault: Fault) -> bool {
        let mut faults = self.lock_faults();
        let is_new = faults.insert(fault);
        self.update_forbids_writes(&faults);
        is_new
    }

    /// Removes a fault. Returns `true` if the fault was present.
    pub fn clear_fault(&self, fault: Fault) -> bool {
        let mut faults = self.lock_faults();
        let was_present = faults.remove(&fault);
        self.update_forbids_writes(&faults);
        was_present
    }

    /// Records whether another file is at the path of the open SQLite file.
    pub fn set_file_replaced(&self, is_replaced: bool) {
        if is_replaced {
            self.add_fault(Fault::FileReplaced);
            tracing::error!(
                "database file, its -wal or its -shm was moved, deleted or replaced: this node stops all \
                 writes; restore the file, or restart the server"
            );
        } else {
            self.clear_fault(Fault::FileReplaced);
            tracing::warn!("database file restored: this node accepts writes again");
        }
    }

    /// Returns `true` if a fault is present.
    #[must_use]
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.lock_faults().contains(&fault)
    }

    /// Returns all faults, including a write that failed within the last 2 s.
    #[must_use]
    pub fn active_faults(&self) -> Vec<Fault> {
        let failed = *self.lock_failed_write();
        let failed = failed.filter(|(at, _)| at.elapsed() < FAILED_WRITE_WINDOW);
        let failed = failed.map(|(_, outage)| Fault::Database(outage));
        self.lock_faults().iter().copied().chain(failed).collect()
    }

    /// Records a write that the database refused. A lock that another process holds is not a fault
    /// of the node.
    pub fn record_failed_write(&self, outage: Outage) {
        if outage != Outage::Busy {
            *self.lock_failed_write() = Some((Instant::now(), outage));
        }
    }

    /// Returns `true` if writes are forbidden, because they would be lost or would follow lost
    /// events.
    #[must_use]
    pub fn forbids_writes(&self) -> bool {
        self.0.forbids_writes.load(Ordering::Relaxed)
    }

    fn update_forbids_writes(&self, faults: &BTreeSet<Fault>) {
        let forbids = [Fault::LogBehind, Fault::FileReplaced]
            .iter()
            .any(|fault| faults.contains(fault));
        self.0.forbids_writes.store(forbids, Ordering::Relaxed);
    }

    fn lock_failed_write(&self) -> MutexGuard<'_, Option<(Instant, Outage)>> {
        let failed = self.0.failed_write.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_faults(&self) -> MutexGuard<'_, BTreeSet<Fault>> {
        // After a panic elsewhere, the set is still complete: each call changes it in one step.
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
