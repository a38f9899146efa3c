//! Lets somebody in again.

use loco_rs::prelude::*;

use super::operator::{Usage, announce, say};
use crate::models::memberships;

const USAGE: Usage = Usage {
    name: "user:activate",
    example: "cargo loco task user:activate username:ann",
};

pub struct UserActivate;

#[async_trait]
impl Task for UserActivate {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Let somebody log in again who was deactivated: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.user(ctx, vars).await?;
        user.set_active(&ctx.db, true).await?;
        let passed = memberships::Model::inherit(&ctx.db, &user).await?;
        announce(ctx, &passed).await?;
        say(&format!("{} can log in", user.username))
    }
}
