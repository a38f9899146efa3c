//! Shows where a user is logged in.

use loco_rs::prelude::*;

use super::operator::{Usage, say};
use crate::{models::sessions, views::time};

const USAGE: Usage = Usage {
    name: "session:list",
    example: "cargo loco task session:list username:ann",
};

/// Sessions that are shown.
const SHOWN: u64 = 1000;

pub struct SessionList;

#[async_trait]
impl Task for SessionList {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Show where a user is logged in: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.user(ctx, vars).await?;
        let found = sessions::Model::list(&ctx.db, user.id, SHOWN).await?;
        if found.is_empty() {
            return say(&format!("{} is not logged in", user.username));
        }
        for session in found {
            say(&format!(
                "{}  since {}  last used {}  until {}  {}",
                session.id,
                time(&session.created_at),
                time(&session.used_at),
                time(&session.expires_at),
                session.user_agent.as_deref().unwrap_or("-")
            ))?;
        }
        Ok(())
    }
}
