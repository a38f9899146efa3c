//! The task `group:purge`, for an external scheduler: it runs the worker of the same work.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line};
use crate::workers::purge_groups::{Worker, WorkerArgs};

/// The task.
pub struct GroupPurge;

const USAGE: TaskUsage = TaskUsage {
    name: "group:purge",
    example: "cargo loco task group:purge",
};

#[async_trait]
impl Task for GroupPurge {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: "Delete the events of deleted groups. The server does this after each deletion and every hour"
                .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        USAGE.reject_arguments(vars)?;
        Worker::build(ctx).perform(WorkerArgs {}).await?;
        print_line("the events of deleted groups are deleted")
    }
}
