//! Deactivates a user: the user cannot log in, and all sessions and sockets end.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, close_ended_sockets, print_line, publish_events};
use crate::models::memberships;

const USAGE: TaskUsage = TaskUsage {
    name: "user:deactivate",
    example: "cargo loco task user:deactivate username:ann",
};

/// The task `user:deactivate`.
pub struct UserDeactivate;

#[async_trait]
impl Task for UserDeactivate {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Deactivate a user, who then cannot log in, and end all sessions of the user: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        user.set_active(&ctx.db, false).await?;
        let when = close_ended_sockets(ctx, &user).await?;
        let transferred = memberships::Model::transfer_owned_groups(&ctx.db, &user)
            .await
            .map_err(Error::wrap)?;
        publish_events(ctx, &transferred).await?;
        let count = transferred.len();
        print_line(&format!(
            "{} can no longer log in; all sessions have ended, and their sockets are closed \
             {when}; groups with a new owner: {count}",
            user.username
        ))
    }
}
