//! The worker `ExpireInvites`: it deletes the invites that expired more than a day ago.

use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::models::invites;

/// The worker.
pub struct Worker {
    pub ctx: AppContext,
}

/// The worker has no arguments: it deletes all expired invites.
#[derive(Debug, Deserialize, Serialize)]
pub struct WorkerArgs {}

#[async_trait]
impl BackgroundWorker<WorkerArgs> for Worker {
    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    fn class_name() -> String {
        "ExpireInvites".to_owned()
    }

    /// Deletes the expired invites. Several nodes may do it at the same time.
    async fn perform(&self, _: WorkerArgs) -> Result<()> {
        invites::Model::delete_expired(&self.ctx.db).await?;
        Ok(())
    }
}
