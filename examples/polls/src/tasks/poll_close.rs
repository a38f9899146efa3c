//! The task `poll:close`, which closes a poll.

use loco_rs::prelude::*;
use salam::{
    models::rejections::{CommandError, Rejection},
    tasks::operator::{TaskUsage, print_line},
};

use crate::models::polls;

const USAGE: TaskUsage = TaskUsage {
    name: "poll:close",
    example: "cargo run -p salam-polls -- task poll:close id:7",
};

/// Closes the poll with the argument `id`.
pub struct PollClose;

#[async_trait]
impl Task for PollClose {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Close a poll: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let id = USAGE.required_argument(vars, "id")?;
        let number = id
            .parse()
            .map_err(|_| USAGE.error(&format!("`{id}` is not the id of a poll")))?;
        match polls::Model::close(&ctx.db, number).await {
            Ok(poll) => print_line(&format!("{}: closed `{}`", USAGE.name, poll.question)),
            Err(CommandError::Rejected(Rejection::NotFound)) => {
                Err(USAGE.error(&format!("there is no poll {id}")))
            }
            Err(error) => Err(Error::wrap(error)),
        }
    }
}
