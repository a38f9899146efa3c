//! Activates a deactivated user.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line, publish_events};
use crate::models::memberships;

const USAGE: TaskUsage = TaskUsage {
    name: "user:activate",
    example: "cargo loco task user:activate username:ann",
};

/// The task `user:activate`.
pub struct UserActivate;

#[async_trait]
impl Task for UserActivate {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Activate a deactivated user: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        user.set_active(&ctx.db, true).await?;
        let transferred = memberships::Model::take_over_groups(&ctx.db, &user)
            .await
            .map_err(Error::wrap)?;
        publish_events(ctx, &transferred).await?;
        print_line(&format!("{} can log in", user.username))
    }
}
