//! The task `invite:expire`, for an external scheduler: it runs the worker of the same work.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line};
use crate::workers::expire_invites::{Worker, WorkerArgs};

/// The task.
pub struct InviteExpire;

const USAGE: TaskUsage = TaskUsage {
    name: "invite:expire",
    example: "cargo loco task invite:expire",
};

#[async_trait]
impl Task for InviteExpire {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: "Delete the invites that expired more than a day ago. The server does this every hour"
                .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        USAGE.reject_arguments(vars)?;
        Worker::build(ctx).perform(WorkerArgs {}).await?;
        print_line("the invites that expired more than a day ago are deleted")
    }
}
