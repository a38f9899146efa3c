//! Begins a new epoch of the database after a backup was restored.

use loco_rs::prelude::*;

use super::operator::print_line;
use crate::models::epochs;

/// The task `epoch:begin`.
pub struct EpochBegin;

#[async_trait]
impl Task for EpochBegin {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "epoch:begin".to_owned(),
            detail:
                "Begin a new epoch after a backup was restored: all clients reload, because their \
                 event numbers may now mean other events"
                    .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, _vars: &task::Vars) -> Result<()> {
        let ended = epochs::Model::current(&ctx.db).await?;
        let epoch = epochs::Model::begin_next(&ctx.db, Some(&ended.name)).await?;
        print_line(&format!(
            "epoch {} has begun; {} has ended",
            epoch.name, ended.name
        ))
    }
}
