//! Sends to a group from outside the server, as `channel_layer.group_send` did.

use std::io::Write;

use loco_rs::prelude::*;

use crate::{
    channels::{self, protocol::Post},
    models::{chat_groups, events::NewEvent},
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
        let name = argument(vars, "group")?;
        let text = argument(vars, "message")?;
        let settings = Settings::of(ctx)?;
        if settings.channels.redis_url.is_none() {
            return Err(refuse(
                "without Redis a task cannot reach the sockets of the server's process; \
                 set REDIS_URL for both",
            ));
        }
        let group = chat_groups::Model::find_by_name(&ctx.db, name)
            .await?
            .ok_or_else(|| refuse(&format!("there is no group `{name}`")))?;
        let out_of_reach = |error| refuse(&format!("{error}; is Redis at REDIS_URL running?"));
        let broker = channels::connect(&settings.channels)
            .await
            .map_err(out_of_reach)?;
        let message = NewEvent::message(group.id, None, text);
        chat_groups::Model::append(&ctx.db, vec![message]).await?;
        let post = Post { by: None };
        broker
            .publish(name, post.encode())
            .await
            .map_err(out_of_reach)?;
        writeln!(std::io::stdout(), "sent to {name}")?;
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
