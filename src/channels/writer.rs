//! Stores posts before anybody hears of them.
//!
//! Posts that come while a transaction runs go together into the next one (group commit), many
//! groups at once, so a post costs a share of a commit and not one each. There is no timer: who
//! comes alone does not wait.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Member,
    hub::{ANSWER_WITHIN, Hub, ListenerId},
    protocol::Post,
};
use crate::models::{chat_groups, events::NewEvent};

/// Posts in one transaction, at most.
const BATCH: usize = 256;

/// Posts that may wait; whoever brings more waits for a place.
const QUEUE: usize = 1024;

/// The post could not be stored, or nobody knows whether it was: the database broke off while it
/// committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the post could not be stored")]
pub(super) struct NotStored;

#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Waiting>);

struct Waiting {
    event: NewEvent,
    origin: Origin,
}

/// Where a post comes from, and who waits for it.
struct Origin {
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
        let event = NewEvent::message(member.group_id, Some(member.user_id), text);
        let group = member.group.clone();
        let by = member.username.clone();
        let origin = Origin {
            group,
            by,
            sender,
            ack,
        };
        self.0
            .send(Waiting { event, origin })
            .await
            .map_err(|_| NotStored)?;
        stored.await.unwrap_or(Err(NotStored))
    }
}

async fn write(mut waiting: mpsc::Receiver<Waiting>, db: DatabaseConnection, hub: Arc<Hub>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (events, origins): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|waiting: Waiting| (waiting.event, waiting.origin))
            .unzip();
        let storing = hub.storing.lock().await;
        // A database that is silent must not keep all senders waiting for ever. A transaction that
        // is given up is rolled back.
        let appending = timeout(ANSWER_WITHIN, chat_groups::Model::append(&db, events)).await;
        let seqs = match appending.unwrap_or_else(|_| Err(DbErr::Custom("no answer".to_owned()))) {
            Ok(seqs) => seqs,
            Err(error) => {
                tracing::error!(%error, posts = origins.len(), "posts could not be stored");
                vec![None; origins.len()]
            }
        };
        // In the order of the log, which is that of the batch.
        for (origin, seq) in origins.into_iter().zip(seqs) {
            let outcome = seq.map(|seq| {
                let post = Post::message(seq, Some(origin.by.to_string()));
                hub.announce(&origin.group, post, origin.sender);
            });
            // Whoever does not wait for it any more has lost its socket meanwhile.
            let _ = origin.ack.send(outcome.ok_or(NotStored));
        }
        drop(storing);
    }
}
