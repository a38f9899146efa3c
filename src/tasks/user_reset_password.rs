//! Gives somebody a new password who has lost theirs, or whose password somebody else knows.

use loco_rs::prelude::*;

use super::operator::{Usage, close_sockets, say};
use crate::models::passwords::Password;

const USAGE: Usage = Usage {
    name: "user:reset-password",
    example: "cargo loco task user:reset-password username:ann",
};

pub struct UserResetPassword;

#[async_trait]
impl Task for UserResetPassword {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Give somebody a random password, which is shown this once, and end all their \
                 sessions: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.user(ctx, vars).await?;
        // Not an argument: those are in the shell's history, and every process sees them.
        let password = Password::random();
        user.reset_password(&ctx.db, password.clone())
            .await
            .map_err(Error::wrap)?;
        let when = close_sockets(ctx, &user).await?;
        say(&format!(
            "the password of {} is now {}\nall sessions have ended, their sockets are closed {when}",
            user.username,
            password.expose()
        ))
    }
}
