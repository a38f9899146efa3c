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

use sea_orm::DatabaseConnection;
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use super::{
    hub::{Hub, in_time},
    protocol::whisper::Whisper,
};
use crate::{
    database::{Outage, checkpoint::WriterGate, classify},
    health::Health,
    models::{
        changes::{Change, MakeError, Outcome, Retries, ToggleLimit, What},
        epochs,
        events::Event,
        log::LogBehind,
    },
    supervisor::Supervisor,
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
pub(super) struct Writer(mpsc::Sender<Queued>);

/// An item of the writer's queue.
enum Queued {
    Change(Waiting),
    /// A question whether the database takes writes, over the writer's own connection.
    Probe(oneshot::Sender<Result<(), Outage>>),
}

struct Waiting {
    group: Arc<str>,
    change: Change,
    answer: oneshot::Sender<Outcome>,
}

impl Writer {
    /// Starts the task that writes, over a connection of its own. It holds the gate while it does.
    pub fn start(
        db: DatabaseConnection,
        hub: Arc<Hub>,
        gate: WriterGate,
        supervisor: &Supervisor,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let health = supervisor.health().clone();
        supervisor.spawn("writer", write(waiting, db, hub, gate, health));
        Self(queue)
    }

    /// Asks whether the database takes writes. Waits for its turn among the changes.
    ///
    /// # Errors
    /// Why not; `None` when the writer has ended.
    pub async fn probe(&self) -> Result<(), Option<Outage>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Queued::Probe(answer)).await;
        sent.map_err(|_| None)?;
        answered.await.map_err(|_| None)?.map_err(Some)
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
        let sent = self.0.send(Queued::Change(waiting)).await;
        sent.map_err(|_| NotStored)?;
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
async fn gather(waiting: &mut mpsc::Receiver<Queued>, batch: &mut Vec<Queued>, last: &Last) {
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

async fn write(
    mut waiting: mpsc::Receiver<Queued>,
    db: DatabaseConnection,
    hub: Arc<Hub>,
    gate: WriterGate,
    health: Health,
) {
    let mut queued = Vec::new();
    let mut last = Last::default();
    let toggles = ToggleLimit::default();
    while waiting.recv_many(&mut queued, BATCH).await > 0 {
        gather(&mut waiting, &mut queued, &last).await;
        let (mut batch, mut probes) = (Vec::with_capacity(queued.len()), Vec::new());
        for item in queued.drain(..) {
            match item {
                Queued::Change(change) => batch.push(change),
                Queued::Probe(probe) => probes.push(probe),
            }
        }
        if health.forbids_writes() {
            // The senders are told by the end of their channels.
            batch.clear();
        }
        let _writing = gate.enter().await;
        if batch.iter().any(|waiting| waiting.change.removes_text()) {
            gate.note_deleted();
        }
        if !batch.is_empty() {
            let (begun, changes) = (Instant::now(), batch.len());
            let (retries, error) = store(&db, &hub, &toggles, batch, last.retries).await;
            if let Some(outage) = error.as_ref().and_then(outage_of) {
                health.note_failed_write(outage);
            }
            last = Last {
                changes,
                took: begun.elapsed(),
                retries,
            };
        }
        if !probes.is_empty() {
            let proven = in_time(epochs::Model::prove_writable(&db)).await;
            let proven = proven.map_err(|error| {
                tracing::warn!(%error, "the database takes no writes");
                classify(&error).outage().unwrap_or(Outage::Storage)
            });
            for probe in probes {
                let _ = probe.send(proven);
            }
        }
    }
}

/// Stores a batch, in smaller parts where one of its rows is at fault. Returns whether retries are likely next, and
/// the last error.
async fn store(
    db: &DatabaseConnection,
    hub: &Hub,
    toggles: &ToggleLimit,
    batch: Vec<Waiting>,
    retries: Retries,
) -> (Retries, Option<MakeError>) {
    let last = match make(db, hub, toggles, batch, retries).await {
        Ok(found) => return (found, None),
        Err(Unmade { error, batch }) if batch.is_empty() => {
            log(&error);
            Some(error)
        }
        Err(Unmade { error, batch }) => {
            tracing::warn!(%error, "a batch was not stored; each group's part is tried alone");
            let mut last = None;
            for part in by_group(batch) {
                if let Err(Unmade { error, batch }) = make(db, hub, toggles, part, retries).await {
                    log(&error);
                    last = Some(error);
                    if batch.is_empty() {
                        // It is the database after all; the others are told so at once.
                        break;
                    }
                }
            }
            last
        }
    };
    // Clients send again what was not stored.
    (Retries::Likely, last)
}

fn outage_of(error: &MakeError) -> Option<Outage> {
    match error {
        MakeError::NotMade(error) | MakeError::Unknown(error) => classify(error).outage(),
        MakeError::LogBehind(_) => None,
    }
}

/// A batch of which nothing was stored.
struct Unmade {
    error: MakeError,
    /// What may go well in smaller parts. (Whoever waits for the rest hears of it by the end of its
    /// channel.)
    batch: Vec<Waiting>,
}

/// Gives whether there were retries.
async fn make(
    db: &DatabaseConnection,
    hub: &Hub,
    toggles: &ToggleLimit,
    batch: Vec<Waiting>,
    retries: Retries,
) -> Result<Retries, Unmade> {
    let changes: Vec<_> = batch.iter().map(|waiting| &waiting.change).collect();
    // A database that is silent must not keep all senders waiting for ever. A transaction that is
    // given up is rolled back, unless it is being committed.
    let acknowledged = hub.acknowledged();
    let making =
        async { Ok(Change::make_among(db, &changes, retries, acknowledged, toggles).await) };
    let made = in_time(making).await;
    let outcomes = match made.map_err(MakeError::Unknown).and_then(|made| made) {
        Ok(outcomes) => outcomes,
        Err(MakeError::NotMade(error)) if classify(&error).is_about_rows() => {
            let error = error.into();
            return Err(Unmade { error, batch });
        }
        Err(error) => {
            if let MakeError::LogBehind(LogBehind { .. }) = &error {
                hub.stop_writes_if_log_is_behind(&error).await;
            } else {
                let groups: HashSet<_> = batch.iter().map(|waiting| &waiting.group).collect();
                groups.into_iter().for_each(|group| hub.doubt(group));
            }
            let batch = Vec::new();
            return Err(Unmade { error, batch });
        }
    };
    let stored = batch.iter().zip(&outcomes);
    acknowledged.note(stored.filter_map(|(waiting, outcome)| {
        let event = outcome.as_ref().ok()?.event.as_ref()?;
        Some((waiting.change.group_id, event.seq))
    }));
    for (waiting, outcome) in batch.iter().zip(&outcomes) {
        let is_event = outcome.as_ref().is_ok_and(|stored| stored.event.is_some());
        if let Some(key) = ToggleLimit::key(&waiting.change).filter(|_| is_event) {
            toggles.note(key);
        }
    }
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

fn by_group(batch: Vec<Waiting>) -> impl Iterator<Item = Vec<Waiting>> {
    let mut parts: HashMap<i64, Vec<Waiting>> = HashMap::new();
    for waiting in batch {
        let group = waiting.change.group_id;
        parts.entry(group).or_default().push(waiting);
    }
    parts.into_values()
}

fn log(error: &MakeError) {
    tracing::error!(%error, "changes could not be stored");
}
