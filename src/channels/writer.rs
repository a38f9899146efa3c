//! Stores posts before anybody hears of them.
//!
//! Posts that come while a transaction runs go together into the next one (group commit), many
//! groups at once, so a post costs a share of a commit and not one each. There is no timer: who
//! comes alone does not wait.

use std::sync::Arc;

use sea_orm::DatabaseConnection;
use tokio::sync::{mpsc, oneshot};

use super::{
    Member,
    hub::{Hub, ListenerId},
    protocol::Post,
};
use crate::models::{chat_groups, events::NewEvent};

/// Posts in one transaction, at most.
const BATCH: usize = 256;

/// Posts that may wait; whoever brings more waits for a place.
const QUEUE: usize = 1024;

/// The post could not be stored, so nobody was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the post could not be stored")]
pub(super) struct NotStored;

#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Waiting>);

struct Waiting {
    event: NewEvent,
    group: Arc<str>,
    by: Arc<str>,
    sender: ListenerId,
    ack: oneshot::Sender<Result<(), NotStored>>,
}

impl Writer {
    pub fn start(db: DatabaseConnection, hub: Arc<Hub>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(waiting, db, hub));
        Self(queue)
    }

    /// Stores a member's post, then tells all listeners of the group but the sender. When this
    /// returns, the post is committed.
    ///
    /// # Errors
    /// [`NotStored`] when the database failed or the group is gone.
    pub async fn post(
        &self,
        member: &Member,
        text: &str,
        sender: ListenerId,
    ) -> Result<(), NotStored> {
        let (ack, stored) = oneshot::channel();
        let waiting = Waiting {
            event: NewEvent::message(member.group_id, Some(member.user_id), text),
            group: member.group.clone(),
            by: member.username.clone(),
            sender,
            ack,
        };
        self.0.send(waiting).await.map_err(|_| NotStored)?;
        stored.await.unwrap_or(Err(NotStored))
    }
}

async fn write(mut waiting: mpsc::Receiver<Waiting>, db: DatabaseConnection, hub: Arc<Hub>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let events = batch
            .iter()
            .map(|waiting: &Waiting| waiting.event.clone())
            .collect();
        let storing = hub.storing.lock().await;
        let seqs = match chat_groups::Model::append(&db, events).await {
            Ok(seqs) => seqs,
            Err(error) => {
                tracing::error!(%error, posts = batch.len(), "posts could not be stored");
                vec![None; batch.len()]
            }
        };
        // In the order of the log, which is that of the batch.
        for (waiting, seq) in batch.drain(..).zip(seqs) {
            let outcome = seq.map(|seq| {
                let post = Post::message(seq, Some(waiting.by.to_string()));
                hub.announce(&waiting.group, post, waiting.sender);
            });
            // Whoever does not wait for it any more has lost its socket meanwhile.
            let _ = waiting.ack.send(outcome.ok_or(NotStored));
        }
        drop(storing);
    }
}
