//! What requests do to groups and sessions, and what the sockets are told of it. It is done to the end,
//! whatever becomes of the request that asked for it, and a drain waits for it.

use super::Channels;
use crate::models::{chat_groups, events::Event, refusals::NotDone, users};

impl Channels {
    /// Does something to a group and tells its sockets of the events that it gives, on all nodes.
    /// It is done to the end, whatever becomes of the request that asked for it: who is put out
    /// must not stay because an admin has closed the page.
    ///
    /// # Errors
    /// [`NotDone`], from doing it.
    pub async fn told<T: Send + 'static>(
        &self,
        group: &str,
        doing: impl Future<Output = Result<(T, Vec<Event>), NotDone>> + Send + 'static,
    ) -> Result<T, NotDone> {
        let (hub, group) = (self.hub.clone(), group.to_owned());
        // A drain waits for it.
        let doing = self.sockets.spawn(async move {
            let done = doing.await;
            match &done {
                Ok((_, events)) => hub.announce(&group, events),
                // It may have been done all the same.
                Err(NotDone::Db(_)) => hub.doubt(&group),
                Err(_) => {}
            }
            done.map(|(done, _)| done)
        });
        doing.await.map_err(|_| NotDone::Aborted)?
    }

    /// Deletes a group and ends all its sockets, on all nodes. What was said in it goes by and by.
    ///
    /// # Errors
    /// [`NotDone`] to all but the owner.
    pub async fn delete(
        &self,
        group: chat_groups::Model,
        actor: users::Model,
    ) -> Result<(), NotDone> {
        let hub = self.hub.clone();
        let doing = self.sockets.spawn(async move {
            let closed = group.close_by(hub.db(), &actor).await;
            match &closed {
                Ok(()) => {
                    hub.announce_gone(&group.name);
                    tokio::spawn(async move { hub.purge().await });
                }
                Err(NotDone::Db(_)) => hub.doubt(&group.name),
                Err(_) => {}
            }
            closed
        });
        doing.await.map_err(|_| NotDone::Aborted)?
    }

    /// Ends sessions of a user, and with them their sockets, on all nodes. It is done to the end,
    /// whatever becomes of the request that asked for it.
    ///
    /// # Errors
    /// [`NotDone::Aborted`] when the server stopped meanwhile.
    pub async fn ended<T: Send + 'static>(
        &self,
        user: &users::Model,
        ending: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NotDone> {
        let (hub, user) = (self.hub.clone(), user.username.clone());
        // A drain waits for it.
        let doing = self.sockets.spawn(async move {
            let done = ending.await;
            // After an error, too: it may have been done all the same.
            hub.doubt_sessions(&user);
            done
        });
        doing.await.map_err(|_| NotDone::Aborted)
    }
}
