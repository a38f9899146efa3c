//! Gives a user a random password, for a password that is lost or known to others.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, close_ended_sockets, print_line};
use crate::models::passwords::Password;

const USAGE: TaskUsage = TaskUsage {
    name: "user:reset-password",
    example: "cargo loco task user:reset-password username:ann",
};

/// The task `user:reset-password`.
pub struct UserResetPassword;

#[async_trait]
impl Task for UserResetPassword {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!(
                "Give a user a random password, which is printed once, and revoke all sessions of the \
                 user: {}",
                USAGE.example
            ),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        // The password is not an argument: arguments are in the shell's history and visible to
        // other processes.
        let password = Password::random();
        user.reset_password(&ctx.db, password.clone())
            .await
            .map_err(Error::wrap)?;
        let when = close_ended_sockets(ctx, &user).await?;
        print_line(&format!(
            "the password of {} is now {}\nall sessions have ended, and their sockets are closed \
             {when}",
            user.username,
            password.expose()
        ))
    }
}
