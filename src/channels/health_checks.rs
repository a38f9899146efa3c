//! The health of this node: its readiness for load balancers, its liveness, and its state in detail for operators.
//!
//! A request for the readiness makes the node check itself, at most four times a second for all requests. The check uses
//! the database as requests do. It reads the schema over the pool of the readers. It writes a row and commits over the
//! writer's connection, in its turn among the commands. A node whose writer is stuck, whose disk is full or whose
//! database is unreachable reports it within a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use migration::SchemaState;
use tokio::{
    join,
    sync::Mutex,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Channels,
    canary::{CanaryReport, CanaryWatch},
    writer::Writer,
};
use crate::{
    database::{
        Outage, PoolCounts, classify, clock, kind_name, pool_counts, sqlite_file::is_disk_full,
    },
    health::{Fault, NodeState},
    models::epochs,
};

/// The time for which a result is valid for other requests.
const READINESS_CACHE_TTL: Duration = Duration::from_millis(250);

/// The time that the database may take. A load balancer gets an answer within a second.
const PROBE_TIMEOUT: Duration = Duration::from_millis(700);

/// The time that the commit of a canary may take. A canary without a commit is not published.
const CANARY_COMMIT_TIMEOUT: Duration = Duration::from_secs(4);

/// Sends the canaries of this node at regular times.
pub(super) async fn run_canary(canary: Arc<CanaryWatch>, writer: Writer) {
    let mut tick = interval(canary.every());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        canary.follow_topics();
        let started_at = Utc::now();
        // The writer has logged the reason of a failure.
        if let Ok(Ok(())) = timeout(CANARY_COMMIT_TIMEOUT, writer.probe()).await {
            canary.send(started_at);
        }
    }
}

/// The readers' pool did not answer in time.
struct PoolTimeout;

/// The state of a node in detail.
pub struct HealthReport {
    pub state: NodeState,
    pub faults: Vec<Fault>,
    pub epoch: String,
    /// The canaries of this node.
    pub own_canary: CanaryReport,
    /// The canaries of the other nodes.
    pub peers: Vec<CanaryReport>,
    /// The numbers of servers of Redis that should be connected and that are connected. `None` without Redis.
    pub redis_servers: Option<(usize, usize)>,
    /// The kind of the database: `SQLite` or `PostgreSQL`.
    pub database: &'static str,
    /// The connections of requests to the database.
    pub pool: PoolCounts,
}

/// The last result.
#[derive(Default)]
pub(super) struct ReadinessCache(Mutex<Option<(Instant, Vec<Fault>)>>);

impl Channels {
    /// Returns the faults of this node; empty if it serves without restrictions. Takes less than a second.
    pub async fn faults(&self) -> Vec<Fault> {
        let health = self.supervisor.health();
        let active = health.active_faults();
        if !active.is_empty() {
            return active;
        }
        // One request checks for all others that wait.
        let mut last = self.readiness.0.lock().await;
        if let Some((at, faults)) = &*last
            && at.elapsed() < READINESS_CACHE_TTL
        {
            return faults.clone();
        }
        let (read, write) = join!(self.check_read(), self.check_write());
        // A pool that is fully used is not a fault while the writer's own connection works.
        let read =
            read.unwrap_or_else(|PoolTimeout| write.map(|_| Fault::Database(Outage::Unreachable)));
        let mut faults: Vec<_> = [read, write].into_iter().flatten().collect();
        faults.extend(health.active_faults());
        faults.extend(self.hub.canary.faults());
        faults.extend(clock::is_skewed().then_some(Fault::ClockSkew));
        faults.sort_unstable();
        faults.dedup();
        let before = last.replace((Instant::now(), faults.clone()));
        let before = before.map(|(_, faults)| faults).unwrap_or_default();
        if faults != before {
            let reasons: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
            tracing::warn!(reasons = reasons.join(", "), "readiness changed");
        }
        faults
    }

    /// Returns the faults that only a restart of the process can repair.
    #[must_use]
    pub fn liveness_faults(&self) -> Vec<Fault> {
        let health = self.supervisor.health();
        let failed = health.has_fault(Fault::TaskFailed);
        let failed = failed.then_some(Fault::TaskFailed);
        let stalled = self.hub.canary.is_stalled().then_some(Fault::CanaryMissing);
        failed.into_iter().chain(stalled).collect()
    }

    /// Returns the state of this node in detail, for its operator.
    pub async fn health_report(&self) -> HealthReport {
        let faults = self.faults().await;
        HealthReport {
            state: NodeState::of(&faults),
            faults,
            epoch: self.epoch(),
            own_canary: self.hub.canary.own_report(),
            peers: self.hub.canary.peer_reports(),
            redis_servers: self.hub.broker.server_counts(),
            database: kind_name(&self.hub.db),
            pool: pool_counts(&self.hub.db),
        }
    }

    async fn check_read(&self) -> Result<Option<Fault>, PoolTimeout> {
        let db = &self.hub.db;
        let reading = async {
            let state = SchemaState::read(db).await?;
            epochs::Model::check_readable(db).await?;
            Ok(state)
        };
        Ok(match timeout(PROBE_TIMEOUT, reading).await {
            Ok(Ok(state)) if state.is_migrated() => None,
            Ok(Ok(SchemaState::Pending(_) | SchemaState::Foreign)) => Some(Fault::SchemaPending),
            Ok(Ok(SchemaState::Newer { .. })) => Some(Fault::SchemaNewer),
            Ok(Err(error)) => Some(Fault::Database(
                classify(&error).outage().unwrap_or(Outage::StorageFailed),
            )),
            Err(_) => return Err(PoolTimeout),
        })
    }

    async fn check_write(&self) -> Option<Fault> {
        match timeout(PROBE_TIMEOUT, self.writer.probe()).await {
            // The row of the probe fits into space that the files already own. A new message may need more.
            Ok(Ok(())) if is_disk_full(&self.hub.db) => Some(Fault::Database(Outage::DiskFull)),
            Ok(Ok(())) => None,
            Ok(Err(Some(outage))) => Some(Fault::Database(outage)),
            Ok(Err(None)) => Some(Fault::TaskFailed),
            Err(_) => Some(Fault::WriterStalled),
        }
    }
}
