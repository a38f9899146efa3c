//! The faults that keep this node from serving, for readiness, for the writer and for requests that write.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::database::Outage;

/// Why a node is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process was told to stop.
    Stopping,
    /// A task that the node cannot do without has panicked.
    TaskFailed,
    /// The database has less of a group's log than this node has acknowledged.
    LogBehind,
    /// Another file lies where the open file of SQLite was.
    FileReplaced,
    /// The database does not serve.
    Database(Outage),
    /// Migrations of this version have not run.
    SchemaPending,
    /// Migrations have run that this version does not know.
    SchemaNewer,
    /// The writer does not answer.
    WriterStalled,
}

impl Fault {
    /// A fixed word for a program.
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
        }
    }
}

/// The faults of this node that last until something changes. Clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<HealthState>);

#[derive(Default)]
struct HealthState {
    faults: Mutex<BTreeSet<Fault>>,
    /// Whether one of them forbids to write; read for each batch and each request.
    forbids_writes: AtomicBool,
    /// The last write that the database did not take.
    failed_write: Mutex<Option<(Instant, Outage)>>,
}

/// How long a write that failed makes the node unready. A disk with a little room takes some writes and refuses
/// others, so a probe that succeeds is not enough.
const FAILED_WRITE_WINDOW: Duration = Duration::from_secs(2);

impl Health {
    /// Notes a fault. Returns whether it is new.
    pub fn add_fault(&self, fault: Fault) -> bool {
        let mut faults = self.lock_faults();
        let is_new = faults.insert(fault);
        self.update_forbids_writes(&faults);
        is_new
    }

    /// Takes a fault back. Returns whether it was noted.
    pub fn clear_fault(&self, fault: Fault) -> bool {
        let mut faults = self.lock_faults();
        let was_noted = faults.remove(&fault);
        self.update_forbids_writes(&faults);
        was_noted
    }

    /// Notes that another file lies where the open file of SQLite was, or that the open one is back.
    pub fn set_file_replaced(&self, is_replaced: bool) {
        if is_replaced {
            self.add_fault(Fault::FileReplaced);
            tracing::error!(
                "the file of the database, its -wal or its -shm was moved, deleted or replaced under the \
                 running server: this node stops all writes; put it back, or restart the server"
            );
        } else {
            self.clear_fault(Fault::FileReplaced);
            tracing::warn!("the file of the database is back: writing goes on");
        }
    }

    /// Returns whether a fault is noted.
    #[must_use]
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.lock_faults().contains(&fault)
    }

    /// All noted faults, and a write that failed within the last 2 s.
    #[must_use]
    pub fn active_faults(&self) -> Vec<Fault> {
        let failed = *self.lock_failed_write();
        let failed = failed.filter(|(at, _)| at.elapsed() < FAILED_WRITE_WINDOW);
        let failed = failed.map(|(_, outage)| Fault::Database(outage));
        self.lock_faults().iter().copied().chain(failed).collect()
    }

    /// Notes that the database did not take a write. Locks that others hold are no fault of the node.
    pub fn record_failed_write(&self, outage: Outage) {
        if outage != Outage::Busy {
            *self.lock_failed_write() = Some((Instant::now(), outage));
        }
    }

    /// Returns whether writes are forbidden, because they would be lost, or would follow on lost events.
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
        // A panic elsewhere leaves the set as it was between two calls.
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
