{% set module_name = name | snake_case -%}
{% set struct_name = module_name | pascal_case -%}
to: "src/workers/{{ module_name }}.rs"
skip_exists: true
message: "The worker `{{ struct_name }}` is new: `{{ module_name }}::Worker::perform_later(&ctx, WorkerArgs { … })` adds a job."
injections:
- into: "src/workers/mod.rs"
  append: true
  content: "pub mod {{ module_name }};"
- into: src/app.rs
  after: "fn connect_workers"
  content: "        queue.register(crate::workers::{{ module_name }}::Worker::build(ctx)).await?;"
---
//! The worker `{{ struct_name }}`, which runs jobs in the background.

use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::models::users;

pub struct Worker {
    pub ctx: AppContext,
}

/// The arguments of a job, which the queue stores as JSON.
#[derive(Debug, Deserialize, Serialize)]
pub struct WorkerArgs {
    pub user_id: i64,
}

#[async_trait]
impl BackgroundWorker<WorkerArgs> for Worker {
    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    fn class_name() -> String {
        "{{ struct_name }}".to_owned()
    }

    /// Runs a job. A job may run twice, because a process may end in the middle of it.
    async fn perform(&self, args: WorkerArgs) -> Result<()> {
        let Some(user) = users::Model::find_active(&self.ctx.db, args.user_id).await? else {
            // The user was deleted or deactivated after the job was added.
            return Ok(());
        };
        tracing::info!(user = user.id, "{{ struct_name }}: job done");
        Ok(())
    }
}
