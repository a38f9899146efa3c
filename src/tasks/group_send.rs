//! Sends to a group from outside the server, as `channel_layer.group_send` did.

use std::io::Write;

use loco_rs::prelude::*;

use crate::{
    channels::{self, protocol::Post},
    models::chat_groups,
    settings::Settings,
};

const USAGE: &str = r#"cargo loco task group:send group:chat_a1b2c3d4 message:"Hello""#;

pub struct GroupSend;

#[async_trait]
impl Task for GroupSend {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "group:send".to_owned(),
            detail: format!("Send to all sockets of a group, on every node: {USAGE}"),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let group = argument(vars, "group")?;
        argument(vars, "message")?;
        let settings = Settings::of(ctx)?;
        if settings.channels.redis_url.is_none() {
            return Err(refuse(
                "without Redis a task cannot reach the sockets of the server's process; \
                 set REDIS_URL for both",
            ));
        }
        if chat_groups::Model::find_by_name(&ctx.db, group)
            .await?
            .is_none()
        {
            return Err(refuse(&format!("there is no group `{group}`")));
        }
        channels::announce(&settings, group, &Post { by: None })
            .await
            .map_err(|error| refuse(&format!("{error}; is Redis at REDIS_URL running?")))?;
        writeln!(std::io::stdout(), "sent to {group}")?;
        Ok(())
    }
}

fn argument<'a>(vars: &'a task::Vars, name: &str) -> Result<&'a str> {
    match vars.cli_arg(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(refuse(&format!("`{name}` is missing; like this: {USAGE}"))),
    }
}

fn refuse(text: &str) -> Error {
    Error::Message(format!("group:send: {text}"))
}
