//! What requests do to groups and sessions, and what the sockets are told of it. It is done to the end,
//! whatever becomes of the request that asked for it, and a drain waits for it.

use super::Channels;
use crate::models::{chat_groups, events::Event, rejections::CommandError, users};

impl Channels {
    /// Does something to a group and tells its sockets of the events that it gives, on all nodes.
    /// It is done to the end, whatever becomes of the request that asked for it: who is put out
    /// must not stay because an admin has closed the page.
    ///
    /// # Errors
    /// [`CommandError`], from doing it.
    pub async fn run_and_broadcast<T: Send + 'static>(
        &self,
        group: &str,
        doing: impl Future<Output = Result<(T, Vec<Event>), CommandError>> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (hub, group) = (self.hub.clone(), group.to_owned());
        // A drain waits for it.
        let doing = self.tasks.spawn(async move {
            let done = doing.await;
            match &done {
                Ok((_, events)) => hub.deliver_events(&group, events),
                // It may have been done all the same.
                Err(CommandError::Db(_)) => hub.request_gap_repair(&group),
                Err(_) => {}
            }
            done.map(|(done, _)| done)
        });
        doing.await.map_err(|_| CommandError::Aborted)?
    }

    /// Deletes a group and ends all its sockets, on all nodes. What was said in it goes by and by.
    ///
    /// # Errors
    /// [`CommandError`] to all but the owner.
    pub async fn delete_group(
        &self,
        group: chat_groups::Model,
        actor: users::Model,
    ) -> Result<(), CommandError> {
        let hub = self.hub.clone();
        let doing = self.tasks.spawn(async move {
            let closed = group.delete_by(hub.db(), &actor).await;
            match &closed {
                Ok(()) => {
                    hub.announce_group_deleted(&group.name);
                    hub.request_purge();
                }
                Err(CommandError::Db(_)) => hub.request_gap_repair(&group.name),
                Err(_) => {}
            }
            closed
        });
        doing.await.map_err(|_| CommandError::Aborted)?
    }

    /// Ends sessions of a user, and with them their sockets, on all nodes. It is done to the end,
    /// whatever becomes of the request that asked for it.
    ///
    /// # Errors
    /// [`CommandError::Aborted`] when the server stopped meanwhile.
    pub async fn run_and_recheck_sessions<T: Send + 'static>(
        &self,
        user: &users::Model,
        ending: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (hub, user) = (self.hub.clone(), user.username.clone());
        // A drain waits for it.
        let doing = self.tasks.spawn(async move {
            let done = ending.await;
            // After an error, too: it may have been done all the same.
            hub.recheck_sessions(&user);
            done
        });
        doing.await.map_err(|_| CommandError::Aborted)
    }
}
