//! Puts somebody out: they cannot log in, and all that was opened is closed.

use loco_rs::prelude::*;

use super::operator::{Usage, announce, close_sockets, say};
use crate::models::memberships;

const USAGE: Usage = Usage {
    name: "user:deactivate",
    example: "cargo loco task user:deactivate username:ann",
};

pub struct UserDeactivate;

#[async_trait]
impl Task for UserDeactivate {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Put somebody out: no login, no session, no socket: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.user(ctx, vars).await?;
        user.set_active(&ctx.db, false).await?;
        let when = close_sockets(ctx, &user).await?;
        let passed = memberships::Model::pass_on(&ctx.db, &user).await?;
        announce(ctx, &passed).await?;
        let count = passed.len();
        say(&format!(
            "{} cannot log in any more; all sessions have ended, their sockets are closed {when}; \
             groups that have another owner now: {count}",
            user.username
        ))
    }
}
