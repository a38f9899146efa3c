//! Stores what is said before anybody hears of it.
//!
//! Changes that come while a transaction runs go together into the next one (group commit), many
//! groups at once, so a message costs a share of a commit and not one each. There is no timer: who
//! comes alone does not wait.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::hub::{ANSWER_WITHIN, Hub};
use crate::models::changes::{Change, Outcome};

/// Changes in one transaction, at most.
const BATCH: usize = 256;

/// Changes that may wait; whoever brings more waits for a place.
const QUEUE: usize = 1024;

/// It could not be stored, or nobody knows whether it was: the database broke off while it
/// committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it could not be stored")]
pub struct NotStored;

#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Waiting>);

struct Waiting {
    group: Arc<str>,
    change: Change,
    answer: oneshot::Sender<Outcome>,
}

impl Writer {
    pub fn start(db: DatabaseConnection, hub: Arc<Hub>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(waiting, db, hub));
        Self(queue)
    }

    /// Makes a change in the group of this name and tells all its sockets. When this returns, it is
    /// committed, or refused.
    ///
    /// # Errors
    /// [`NotStored`] when the database failed.
    pub async fn make(&self, group: Arc<str>, change: Change) -> Result<Outcome, NotStored> {
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting {
            group,
            change,
            answer,
        };
        self.0.send(waiting).await.map_err(|_| NotStored)?;
        outcome.await.map_err(|_| NotStored)
    }
}

async fn write(mut waiting: mpsc::Receiver<Waiting>, db: DatabaseConnection, hub: Arc<Hub>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let mut changes = Vec::with_capacity(batch.len());
        let mut origins = Vec::with_capacity(batch.len());
        for waiting in batch.drain(..) {
            changes.push(waiting.change);
            origins.push((waiting.group, waiting.answer));
        }
        // A database that is silent must not keep all senders waiting for ever. A transaction that
        // is given up is rolled back.
        let making = timeout(ANSWER_WITHIN, Change::make(&db, changes)).await;
        match making.unwrap_or_else(|_| Err(DbErr::Custom("no answer".to_owned()))) {
            Ok(outcomes) => {
                // In the order of the log, which is that of the batch.
                for ((group, answer), outcome) in origins.into_iter().zip(outcomes) {
                    if let Ok(Some(event)) = outcome.as_ref().map(|stored| &stored.event) {
                        hub.announce(&group, event);
                    }
                    // Whoever does not wait for it any more has lost its socket meanwhile.
                    let _ = answer.send(outcome);
                }
            }
            // Whoever waits hears of it by the end of its channel.
            Err(error) => {
                tracing::error!(%error, changes = origins.len(), "changes could not be stored");
            }
        }
    }
}
