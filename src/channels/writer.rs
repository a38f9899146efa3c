//! Stores what is said before anybody hears of it.
//!
//! Changes that come while a transaction runs go together into the next one (group commit), many
//! groups at once, so a message costs a share of a commit and not one each. Who comes alone does not
//! wait; who comes with others waits for a share of a commit until they are there, too: after an
//! answer they come one by one, and the first would have a transaction for itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxError};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use super::{
    hub::{Hub, in_time},
    protocol::whisper::Whisper,
};
use crate::models::{
    changes::{Change, MakeError, Outcome, Retries, What},
    events::Event,
};

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
        self.begin(group, change).await?.outcome().await
    }

    /// Has a change made after those that were begun before, and does not wait for it.
    ///
    /// # Errors
    /// [`NotStored`] when nothing can be stored any more.
    pub async fn begin(&self, group: Arc<str>, change: Change) -> Result<Begun, NotStored> {
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting {
            group,
            change,
            answer,
        };
        self.0.send(waiting).await.map_err(|_| NotStored)?;
        Ok(Begun(outcome))
    }
}

/// A change that is being made.
pub(super) struct Begun(oneshot::Receiver<Outcome>);

impl Begun {
    /// Waits until it is committed, or refused.
    ///
    /// # Errors
    /// [`NotStored`] when the database failed.
    pub async fn outcome(self) -> Result<Outcome, NotStored> {
        self.0.await.map_err(|_| NotStored)
    }
}

/// The share of the time of the last transaction for which those who were in it are waited for.
const GATHER: u32 = 4;

/// At most.
const GATHER_WITHIN: Duration = Duration::from_millis(1);

/// How the last transaction went.
#[derive(Default)]
struct Last {
    changes: usize,
    took: Duration,
    /// Who comes back sends again what was not answered, and more of it follows.
    retries: Retries,
}

/// Waits until as many are there as the last time, if they come soon.
async fn gather(waiting: &mut mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>, last: &Last) {
    let begun = Instant::now();
    let patience = (last.took / GATHER).min(GATHER_WITHIN);
    while batch.len() < last.changes && begun.elapsed() < patience {
        // The clock of the runtime is too coarse for it; meanwhile others have their turns.
        yield_now().await;
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
    }
}

async fn write(mut waiting: mpsc::Receiver<Waiting>, db: DatabaseConnection, hub: Arc<Hub>) {
    let mut batch = Vec::new();
    let mut last = Last::default();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        gather(&mut waiting, &mut batch, &last).await;
        let (begun, changes) = (Instant::now(), batch.len());
        // After a failure they come again.
        let mut retries = Retries::Likely;
        match make(&db, &hub, std::mem::take(&mut batch), last.retries).await {
            Ok(found) => retries = found,
            Err(Unmade { error, batch }) if batch.is_empty() => log(&error),
            Err(Unmade { error, batch }) => {
                tracing::warn!(%error, "a batch was not stored; each group's part is tried alone");
                for part in by_group(batch) {
                    let made = make(&db, &hub, part, last.retries).await;
                    if let Err(Unmade { error, batch }) = made {
                        log(&error);
                        if batch.is_empty() {
                            // It is the database after all; the others are told so at once.
                            break;
                        }
                    }
                }
            }
        }
        last = Last {
            changes,
            took: begun.elapsed(),
            retries,
        };
    }
}

/// A batch of which nothing was stored.
struct Unmade {
    error: DbErr,
    /// What may go well in smaller parts. (Whoever waits for the rest hears of it by the end of its
    /// channel.)
    batch: Vec<Waiting>,
}

/// Gives whether there were retries.
async fn make(
    db: &DatabaseConnection,
    hub: &Hub,
    batch: Vec<Waiting>,
    retries: Retries,
) -> Result<Retries, Unmade> {
    let changes: Vec<_> = batch.iter().map(|waiting| &waiting.change).collect();
    // A database that is silent must not keep all senders waiting for ever. A transaction that is
    // given up is rolled back, unless it is being committed.
    let making = async { Ok(Change::make_among(db, &changes, retries).await) };
    let outcomes = match in_time(making).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(MakeError::NotMade(error))) if is_about_a_row(&error) => {
            return Err(Unmade { error, batch });
        }
        Ok(Err(MakeError::NotMade(error) | MakeError::Unknown(error))) | Err(error) => {
            let groups: HashSet<_> = batch.iter().map(|waiting| &waiting.group).collect();
            groups.into_iter().for_each(|group| hub.doubt(group));
            let batch = Vec::new();
            return Err(Unmade { error, batch });
        }
    };
    // In the order of the log, which is that of the batch; each group's sockets are woken once.
    let mut told: HashMap<&Arc<str>, Vec<Event>> = HashMap::new();
    for (waiting, outcome) in batch.iter().zip(&outcomes) {
        let Ok(stored) = outcome else { continue };
        if let Some(event) = &stored.event {
            told.entry(&waiting.group).or_default().push(event.clone());
        } else if let (What::Read { .. }, false, Some(author)) =
            (&waiting.change.what, stored.dup, &waiting.change.author)
        {
            let whisper = Whisper::Read {
                group: waiting.group.as_ref().into(),
                user: author.username.as_ref().into(),
                seq: stored.seq,
            };
            hub.whisper(&waiting.group, &whisper);
        }
    }
    for (group, events) in told {
        hub.announce(group, &events);
    }
    let mut retries = Retries::Unlikely;
    for (waiting, outcome) in batch.into_iter().zip(outcomes) {
        let is_dup = outcome.as_ref().is_ok_and(|stored| stored.dup);
        if is_dup && waiting.change.cid.is_some() {
            retries = Retries::Likely;
        }
        // Whoever does not wait for it any more has lost its socket meanwhile.
        let _ = waiting.answer.send(outcome);
    }
    Ok(retries)
}

/// Whether an error is about one of the groups or rows, and not about the database.
fn is_about_a_row(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let SqlxError::Database(error) = &**error else {
        return false;
    };
    let code = error.code().unwrap_or_default();
    // PostgreSQL: a lock that somebody holds for long, a deadlock, data and constraints; SQLite:
    // something too big, and constraints.
    matches!(&*code, "55P03" | "40P01" | "40001")
        || code.len() == 5 && (code.starts_with("22") || code.starts_with("23"))
        || code.len() < 5
            && code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code % 256, 18 | 19))
}

fn by_group(batch: Vec<Waiting>) -> impl Iterator<Item = Vec<Waiting>> {
    let mut parts: HashMap<i64, Vec<Waiting>> = HashMap::new();
    for waiting in batch {
        let group = waiting.change.group_id;
        parts.entry(group).or_default().push(waiting);
    }
    parts.into_values()
}

fn log(error: &DbErr) {
    tracing::error!(%error, "changes could not be stored");
}
