//! The worker `ExpireSessions`: it deletes the sessions that expired more than a day ago.

use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::models::sessions;

/// The worker.
pub struct Worker {
    pub ctx: AppContext,
}

/// The worker has no arguments: it deletes all expired sessions.
#[derive(Debug, Deserialize, Serialize)]
pub struct WorkerArgs {}

#[async_trait]
impl BackgroundWorker<WorkerArgs> for Worker {
    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    fn class_name() -> String {
        "ExpireSessions".to_owned()
    }

    /// Deletes the expired sessions. Several nodes may do it at the same time.
    async fn perform(&self, _: WorkerArgs) -> Result<()> {
        sessions::Model::delete_expired(&self.ctx.db).await?;
        Ok(())
    }
}
