//! Readiness: the answer to load balancers, which states whether this node can serve.
//!
//! A request makes the node check itself, at most four times a second for all requests. The check uses the database as
//! requests do. It reads the schema over the pool of the readers. It writes a row and commits over the writer's
//! connection, in its turn among the commands. A node whose writer is stuck, whose disk is full or whose database is
//! unreachable reports it within a second.

use std::time::{Duration, Instant};

use migration::SchemaState;
use tokio::{join, sync::Mutex, time::timeout};

use super::Channels;
use crate::{
    database::{Outage, classify},
    health::Fault,
    models::epochs,
};

/// The time for which a result is valid for other requests.
const READINESS_CACHE_TTL: Duration = Duration::from_millis(250);

/// The time that the database may take. A load balancer gets an answer within a second.
const PROBE_TIMEOUT: Duration = Duration::from_millis(700);

/// The readers' pool did not answer in time.
struct PoolTimeout;

/// The last result.
#[derive(Default)]
pub(super) struct ReadinessCache(Mutex<Option<(Instant, Vec<Fault>)>>);

impl Channels {
    /// Returns the faults because of which this node cannot serve; empty if it can. Takes less than a second.
    pub async fn readiness_faults(&self) -> Vec<Fault> {
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

    async fn check_read(&self) -> Result<Option<Fault>, PoolTimeout> {
        let db = &self.hub.db;
        let reading = async {
            let state = SchemaState::read(db).await?;
            epochs::Model::check_readable(db).await?;
            Ok(state)
        };
        Ok(match timeout(PROBE_TIMEOUT, reading).await {
            Ok(Ok(SchemaState::Pending(0))) => None,
            Ok(Ok(SchemaState::Pending(_) | SchemaState::Foreign)) => Some(Fault::SchemaPending),
            Ok(Ok(SchemaState::Newer(_))) => Some(Fault::SchemaNewer),
            Ok(Err(error)) => Some(Fault::Database(
                classify(&error).outage().unwrap_or(Outage::StorageFailed),
            )),
            Err(_) => return Err(PoolTimeout),
        })
    }

    async fn check_write(&self) -> Option<Fault> {
        match timeout(PROBE_TIMEOUT, self.writer.probe()).await {
            Ok(Ok(())) => None,
            Ok(Err(Some(outage))) => Some(Fault::Database(outage)),
            Ok(Err(None)) => Some(Fault::TaskFailed),
            Err(_) => Some(Fault::WriterStalled),
        }
    }
}
