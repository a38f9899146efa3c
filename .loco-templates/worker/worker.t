{% set module_name = name | snake_case -%}
{% set struct_name = module_name | pascal_case -%}
to: "src/workers/{{ module_name }}.rs"
skip_exists: true
message: "The worker `{{ struct_name }}` was added: `{{ module_name }}::Worker::perform_later(&ctx, WorkerArgs { … })` has it work."
injections:
- into: "src/workers/mod.rs"
  append: true
  content: "pub mod {{ module_name }};"
- into: src/app.rs
  after: "fn connect_workers"
  content: "        queue.register(crate::workers::{{ module_name }}::Worker::build(ctx)).await?;"
---
//! What is done in the background as `{{ struct_name }}`.

use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::models::users;

pub struct Worker {
    pub ctx: AppContext,
}

/// What it is to be done with. It is stored as JSON until somebody does it.
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

    /// May be done twice, should the process end in the middle: it must not matter.
    async fn perform(&self, args: WorkerArgs) -> Result<()> {
        let Some(user) = users::Model::find_active(&self.ctx.db, args.user_id).await? else {
            // Gone meanwhile: nothing is left to do.
            return Ok(());
        };
        tracing::info!(user = user.id, "{{ struct_name }} was done");
        Ok(())
    }
}
