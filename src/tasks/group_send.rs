//! Sends a message to a group from the command line, as `channel_layer.group_send` did.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line, publish_events};
use crate::{
    models::{
        chat_groups,
        group_commands::{CommandKind, GroupCommand},
        messages::check_text,
        rejections::CommandError,
    },
    settings::Settings,
};

const USAGE: TaskUsage = TaskUsage {
    name: "group:send",
    example: r#"cargo loco task group:send group:chat_a1b2c3d4 message:"Hello""#,
};

/// The task `group:send`.
pub struct GroupSend;

#[async_trait]
impl Task for GroupSend {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Send a message to a group: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let name = USAGE.required_argument(vars, "group")?;
        let text = USAGE.required_argument(vars, "message")?;
        check_text(text).map_err(|error| USAGE.error(&format!("message: {error}")))?;
        let group = chat_groups::Model::find_by_name(&ctx.db, name)
            .await?
            .ok_or_else(|| USAGE.error(&format!("there is no group `{name}`")))?;
        let command = GroupCommand {
            group_id: group.id,
            actor: None,
            cid: None,
            kind: CommandKind::Send {
                text: text.to_owned(),
                reply_to: None,
            },
        };
        let applied = match command.apply_single(&ctx.db).await {
            Ok(applied) => applied,
            Err(CommandError::Rejected(_)) => {
                return Err(USAGE.error(&format!("the group `{name}` has just been deleted")));
            }
            Err(error) => return Err(Error::wrap(error)),
        };
        let events = [(name.to_owned(), applied.events)];
        let message = if publish_events(ctx, &events).await? {
            format!("sent to {name}")
        } else {
            let sweep_every = Settings::from_context(ctx)?.channels.sweep_every;
            format!(
                "stored for {name}; without Redis the servers deliver it within {sweep_every} s"
            )
        };
        print_line(&message)
    }
}
