//! Whether this node can serve: the answer to load balancers.
//!
//! The node looks when somebody asks, at most four times a second for all who ask. It does what requests do: it
//! reads the schema over the pool of the readers, and writes a row and commits over the writer's connection, in
//! its turn among the messages. A node whose writer is stuck, whose disk is full or whose database went away says
//! so within a second.

use std::time::{Duration, Instant};

use migration::SchemaState;
use tokio::{join, sync::Mutex, time::timeout};

use super::Channels;
use crate::{
    database::{Outage, classify},
    health::Fault,
    models::epochs,
};

/// How long an answer holds for others who ask.
const READINESS_CACHE_TTL: Duration = Duration::from_millis(250);

/// How long the database may take. A load balancer is answered within a second.
const PROBE_TIMEOUT: Duration = Duration::from_millis(700);

/// The readers' pool gave no answer in time.
struct PoolTimeout;

/// The last look.
#[derive(Default)]
pub(super) struct ReadinessCache(Mutex<Option<(Instant, Vec<Fault>)>>);

impl Channels {
    /// Why this node cannot serve; empty where it can. Answers within a second.
    pub async fn readiness_faults(&self) -> Vec<Fault> {
        let health = self.supervisor.health();
        let standing = health.active_faults();
        if !standing.is_empty() {
            return standing;
        }
        // One looks for all.
        let mut last = self.readiness.0.lock().await;
        if let Some((at, faults)) = &*last
            && at.elapsed() < READINESS_CACHE_TTL
        {
            return faults.clone();
        }
        let (read, write) = join!(self.check_read(), self.check_write());
        // A pool in full use is not a fault, as long as the writer's own connection works.
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
        let db = self.hub.db();
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
