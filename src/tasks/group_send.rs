//! Sends to a group from outside the server, as `channel_layer.group_send` did.

use loco_rs::prelude::*;

use super::operator::{Usage, say};
use crate::{
    channels::{self, broker::Unavailable, protocol::event::Told},
    models::{
        changes::{Change, What},
        chat_groups,
        events::Event,
        messages::check_text,
    },
    settings::Settings,
};

const USAGE: Usage = Usage {
    name: "group:send",
    example: r#"cargo loco task group:send group:chat_a1b2c3d4 message:"Hello""#,
};

pub struct GroupSend;

#[async_trait]
impl Task for GroupSend {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Send to all sockets of a group, on every node: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let name = USAGE.argument(vars, "group")?;
        let text = USAGE.argument(vars, "message")?;
        check_text(text).map_err(|error| USAGE.refuse(&format!("message: {error}")))?;
        let group = chat_groups::Model::find_by_name(&ctx.db, name)
            .await?
            .ok_or_else(|| USAGE.refuse(&format!("there is no group `{name}`")))?;
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
            return Err(USAGE.refuse(&format!("the group `{name}` has just gone")));
        };
        let settings = Settings::of(ctx)?;
        let told = match tell(ctx, &settings, name, &event).await {
            Ok(()) => format!("sent to {name}"),
            Err(_) => format!(
                "stored for {name}; without Redis the servers' sockets are told within {} s",
                settings.channels.sweep_every
            ),
        };
        say(&told)
    }
}

/// The fast way to the servers' sockets.
async fn tell(
    ctx: &AppContext,
    settings: &Settings,
    group: &str,
    event: &Event,
) -> Result<(), Unavailable> {
    channels::connect(settings, &ctx.db)
        .await?
        .publish(group, Told::new(group, event).frame().into())
        .await
}
