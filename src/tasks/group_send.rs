//! Sends to a group from outside the server, as `channel_layer.group_send` did.

use std::io::Write;

use loco_rs::prelude::*;

use crate::{
    channels::{self, broker::Unavailable, protocol::event::Told},
    models::{
        changes::{Change, What},
        chat_groups,
        events::Event,
    },
    settings::{ChannelSettings, Settings},
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
        let group = chat_groups::Model::find_by_name(&ctx.db, name)
            .await?
            .ok_or_else(|| refuse(&format!("there is no group `{name}`")))?;
        let change = Change {
            group_id: group.id,
            author: None,
            cid: None,
            what: What::Send {
                text: text.to_owned(),
                reply_to: None,
            },
        };
        let stored = change.make_alone(&ctx.db).await.map_err(Error::wrap)?;
        let Ok(Some(event)) = stored.map(|stored| stored.event) else {
            return Err(refuse(&format!("the group `{name}` has just gone")));
        };
        let settings = &Settings::of(ctx)?.channels;
        let told = match tell(settings, name, &event).await {
            Ok(()) => format!("sent to {name}"),
            Err(_) => format!(
                "stored for {name}; without Redis the servers' sockets are told within {} s",
                settings.sweep_every
            ),
        };
        writeln!(std::io::stdout(), "{told}")?;
        Ok(())
    }
}

/// The fast way to the servers' sockets.
async fn tell(settings: &ChannelSettings, group: &str, event: &Event) -> Result<(), Unavailable> {
    channels::connect(settings)
        .await?
        .publish(group, Told::new(group, event).frame().into())
        .await
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
