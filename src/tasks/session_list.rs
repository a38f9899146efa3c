//! Lists the sessions of a user.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line};
use crate::{models::sessions, views::format_time};

const USAGE: TaskUsage = TaskUsage {
    name: "session:list",
    example: "cargo loco task session:list username:ann",
};

/// The largest number of listed sessions.
const MAX_SHOWN_SESSIONS: u64 = 1000;

/// The task `session:list`.
pub struct SessionList;

#[async_trait]
impl Task for SessionList {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("List the sessions of a user: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        let sessions = sessions::Model::list(&ctx.db, user.id, MAX_SHOWN_SESSIONS).await?;
        if sessions.is_empty() {
            return print_line(&format!("{} is not logged in", user.username));
        }
        for session in sessions {
            print_line(&format!(
                "{}  since {}  last used {}  until {}  {}",
                session.id,
                format_time(&session.created_at),
                format_time(&session.used_at),
                format_time(&session.expires_at),
                session.user_agent.as_deref().unwrap_or("-")
            ))?;
        }
        Ok(())
    }
}
