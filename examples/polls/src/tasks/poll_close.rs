//! The task `poll:close`, which closes a poll.

use loco_rs::prelude::*;
use salam::{
    models::{
        chat_groups,
        group_commands::{CommandKind, GroupCommand, SharedRowChange},
        rejections::CommandError,
    },
    tasks::operator::{TaskUsage, print_line, publish_events},
    views::row_json,
};

use crate::{
    models::polls::{self, PollAction, PollChange},
    views::polls::Poll,
};

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
            .parse::<i64>()
            .map_err(|_| USAGE.error(&format!("`{id}` is not the id of a poll")))?;
        let no_poll = || USAGE.error(&format!("there is no poll {id}"));
        let poll = polls::Entity::find_by_id(number).one(&ctx.db).await?;
        let poll = poll.ok_or_else(no_poll)?;
        let group = chat_groups::Entity::find_by_id(poll.group_id);
        let group = group.one(&ctx.db).await?.ok_or_else(no_poll)?;
        let close = PollChange {
            action: PollAction::Close { id: poll.id },
            to_json: row_json::<_, Poll>,
        };
        let command = GroupCommand {
            group_id: group.id,
            actor: None,
            cid: None,
            kind: CommandKind::ChangeRow(SharedRowChange::new(close)),
        };
        let applied = match command.apply_single(&ctx.db).await {
            Ok(applied) => applied,
            // The poll was deleted with its group in the meantime.
            Err(CommandError::Rejected(_)) => return Err(no_poll()),
            Err(error) => return Err(Error::wrap(error)),
        };
        publish_events(ctx, &[(group.name, applied.events)]).await?;
        print_line(&format!("{}: closed `{}`", USAGE.name, poll.question))
    }
}
