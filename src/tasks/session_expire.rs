//! The task `session:expire`, for an external scheduler: it runs the worker of the same work.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line};
use crate::workers::expire_sessions::{Worker, WorkerArgs};

/// The task.
pub struct SessionExpire;

const USAGE: TaskUsage = TaskUsage {
    name: "session:expire",
    example: "cargo loco task session:expire",
};

#[async_trait]
impl Task for SessionExpire {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: "Delete the sessions that expired more than a day ago. The server does this every hour"
                .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        USAGE.reject_arguments(vars)?;
        Worker::build(ctx).perform(WorkerArgs {}).await?;
        print_line("the sessions that expired more than a day ago are deleted")
    }
}
