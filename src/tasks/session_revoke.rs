//! Revokes one session of a user, or all sessions.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, close_ended_sockets, print_line};
use crate::models::sessions;

const USAGE: TaskUsage = TaskUsage {
    name: "session:revoke",
    example: "cargo loco task session:revoke username:ann \
              [id:67e55044-10b1-426f-9247-bb680e5fe0c8]",
};

/// The task `session:revoke`.
pub struct SessionRevoke;

#[async_trait]
impl Task for SessionRevoke {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Revoke all sessions of a user, or one: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        let revoked = match USAGE.optional_argument(vars, "id")? {
            None => sessions::Model::revoke_all(&ctx.db, user.id, None).await?,
            Some(id) => {
                let session_id = id.parse();
                let session_id = session_id.map_err(|_| {
                    USAGE.error(&format!(
                        "`{id}` is not a session id; `cargo loco task session:list` shows the ids"
                    ))
                })?;
                if !sessions::Model::revoke(&ctx.db, user.id, session_id).await? {
                    let username = &user.username;
                    return Err(USAGE.error(&format!("{username} has no session `{id}`")));
                }
                1
            }
        };
        let when = close_ended_sockets(ctx, &user).await?;
        let sessions = if revoked == 1 { "session" } else { "sessions" };
        print_line(&format!(
            "revoked {revoked} {sessions} of {}; the sockets are closed {when}",
            user.username
        ))
    }
}
