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

use super::{hub::Hub, protocol::ephemeral::EphemeralEvent};
use crate::{
    database::{Outage, checkpoint::WriterLock, classify, with_db_timeout},
    health::Health,
    models::{
        epochs,
        events::Event,
        group_commands::{
            ApplyError, CommandKind, CommandOutcome, DuplicateCheck, GroupCommand, ToggleLimiter,
        },
        log::LogBehind,
    },
    supervisor::Supervisor,
};

/// Changes in one transaction, at most.
const MAX_BATCH_ITEMS: usize = 256;

/// Changes that may wait; whoever brings more waits for a place.
const QUEUE_CAPACITY: usize = 1024;

/// It could not be stored, or nobody knows whether it was: the database broke off while it
/// committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it could not be stored")]
pub struct StoreError;

#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<QueueItem>);

/// An item of the writer's queue.
enum QueueItem {
    Command(QueuedCommand),
    /// A question whether the database takes writes, over the writer's own connection.
    Probe(oneshot::Sender<Result<(), Outage>>),
}

struct QueuedCommand {
    group: Arc<str>,
    command: GroupCommand,
    result_sender: oneshot::Sender<CommandOutcome>,
}

impl Writer {
    /// Starts the task that writes, over a connection of its own. It holds the gate while it does.
    pub fn start(
        db: DatabaseConnection,
        hub: Arc<Hub>,
        gate: WriterLock,
        supervisor: &Supervisor,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_CAPACITY);
        let health = supervisor.health().clone();
        supervisor.spawn("writer", run_writer(waiting, db, hub, gate, health));
        Self(queue)
    }

    /// Asks whether the database takes writes. Waits for its turn among the changes.
    ///
    /// # Errors
    /// Why not; `None` when the writer has ended.
    pub async fn probe(&self) -> Result<(), Option<Outage>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(QueueItem::Probe(answer)).await;
        sent.map_err(|_| None)?;
        answered.await.map_err(|_| None)?.map_err(Some)
    }

    /// Makes a change in the group of this name and tells all its sockets. When this returns, it is
    /// committed, or refused.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub async fn execute(
        &self,
        group: Arc<str>,
        change: GroupCommand,
    ) -> Result<CommandOutcome, StoreError> {
        self.submit(group, change).await?.outcome().await
    }

    /// Has a change made after those that were begun before, and does not wait for it.
    ///
    /// # Errors
    /// [`StoreError`] when nothing can be stored any more.
    pub async fn submit(
        &self,
        group: Arc<str>,
        change: GroupCommand,
    ) -> Result<PendingResult, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let waiting = QueuedCommand {
            group,
            command: change,
            result_sender: answer,
        };
        let sent = self.0.send(QueueItem::Command(waiting)).await;
        sent.map_err(|_| StoreError)?;
        Ok(PendingResult(outcome))
    }
}

/// A change that is being made.
pub(super) struct PendingResult(oneshot::Receiver<CommandOutcome>);

impl PendingResult {
    /// Waits until it is committed, or refused.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub async fn outcome(self) -> Result<CommandOutcome, StoreError> {
        self.0.await.map_err(|_| StoreError)
    }
}

/// The share of the time of the last transaction for which those who were in it are waited for.
const BATCH_WAIT_DIVISOR: u32 = 4;

/// At most.
const MAX_BATCH_WAIT: Duration = Duration::from_millis(1);

/// How the last transaction went.
#[derive(Default)]
struct LastBatchStats {
    commands: usize,
    duration: Duration,
    /// Who comes back sends again what was not answered, and more of it follows.
    retries: DuplicateCheck,
}

/// Waits until as many are there as the last time, if they come soon.
async fn collect_batch(
    waiting: &mut mpsc::Receiver<QueueItem>,
    batch: &mut Vec<QueueItem>,
    last: &LastBatchStats,
) {
    let begun = Instant::now();
    let patience = (last.duration / BATCH_WAIT_DIVISOR).min(MAX_BATCH_WAIT);
    while batch.len() < last.commands && begun.elapsed() < patience {
        // The clock of the runtime is too coarse for it; meanwhile others have their turns.
        yield_now().await;
        while batch.len() < MAX_BATCH_ITEMS
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
    }
}

async fn run_writer(
    mut waiting: mpsc::Receiver<QueueItem>,
    db: DatabaseConnection,
    hub: Arc<Hub>,
    gate: WriterLock,
    health: Health,
) {
    let mut queued = Vec::new();
    let mut last = LastBatchStats::default();
    let toggles = ToggleLimiter::default();
    while waiting.recv_many(&mut queued, MAX_BATCH_ITEMS).await > 0 {
        collect_batch(&mut waiting, &mut queued, &last).await;
        let (mut batch, mut probes) = (Vec::with_capacity(queued.len()), Vec::new());
        for item in queued.drain(..) {
            match item {
                QueueItem::Command(change) => batch.push(change),
                QueueItem::Probe(probe) => probes.push(probe),
            }
        }
        if health.forbids_writes() {
            // The senders are told by the end of their channels.
            batch.clear();
        }
        let _writing = gate.lock().await;
        if batch.iter().any(|waiting| waiting.command.removes_text()) {
            gate.mark_deleted();
        }
        if !batch.is_empty() {
            let (begun, changes) = (Instant::now(), batch.len());
            let (retries, error) = store_batch(&db, &hub, &toggles, batch, last.retries).await;
            if let Some(outage) = error.as_ref().and_then(outage_of) {
                health.record_failed_write(outage);
            }
            last = LastBatchStats {
                commands: changes,
                duration: begun.elapsed(),
                retries,
            };
        }
        if !probes.is_empty() {
            let proven = with_db_timeout(epochs::Model::check_writable(&db)).await;
            let proven = proven.map_err(|error| {
                tracing::warn!(%error, "the database takes no writes");
                classify(&error).outage().unwrap_or(Outage::StorageFailed)
            });
            for probe in probes {
                let _ = probe.send(proven);
            }
        }
    }
}

/// Stores a batch, in smaller parts where one of its rows is at fault. Returns whether retries are likely next, and
/// the last error.
async fn store_batch(
    db: &DatabaseConnection,
    hub: &Hub,
    toggles: &ToggleLimiter,
    batch: Vec<QueuedCommand>,
    retries: DuplicateCheck,
) -> (DuplicateCheck, Option<ApplyError>) {
    let last = match commit_batch(db, hub, toggles, batch, retries).await {
        Ok(found) => return (found, None),
        Err(FailedBatch {
            error,
            retryable: batch,
        }) if batch.is_empty() => {
            log_store_error(&error);
            Some(error)
        }
        Err(FailedBatch {
            error,
            retryable: batch,
        }) => {
            tracing::warn!(%error, "a batch was not stored; each group's part is tried alone");
            let mut last = None;
            for part in split_by_group(batch) {
                if let Err(FailedBatch {
                    error,
                    retryable: batch,
                }) = commit_batch(db, hub, toggles, part, retries).await
                {
                    log_store_error(&error);
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
    (DuplicateCheck::Upfront, last)
}

fn outage_of(error: &ApplyError) -> Option<Outage> {
    match error {
        ApplyError::NotApplied(error) | ApplyError::OutcomeUnknown(error) => {
            classify(error).outage()
        }
        ApplyError::LogBehind(_) => None,
    }
}

/// A batch of which nothing was stored.
struct FailedBatch {
    error: ApplyError,
    /// What may go well in smaller parts. (Whoever waits for the rest hears of it by the end of its
    /// channel.)
    retryable: Vec<QueuedCommand>,
}

/// Gives whether there were retries.
async fn commit_batch(
    db: &DatabaseConnection,
    hub: &Hub,
    toggles: &ToggleLimiter,
    batch: Vec<QueuedCommand>,
    retries: DuplicateCheck,
) -> Result<DuplicateCheck, FailedBatch> {
    let changes: Vec<_> = batch.iter().map(|waiting| &waiting.command).collect();
    // A database that is silent must not keep all senders waiting for ever. A transaction that is
    // given up is rolled back, unless it is being committed.
    let acknowledged = hub.acknowledged_heads();
    let making =
        async { Ok(GroupCommand::apply_batch(db, &changes, retries, acknowledged, toggles).await) };
    let made = with_db_timeout(making).await;
    let outcomes = match made
        .map_err(ApplyError::OutcomeUnknown)
        .and_then(|made| made)
    {
        Ok(outcomes) => outcomes,
        Err(ApplyError::NotApplied(error)) if classify(&error).is_row_specific() => {
            let error = error.into();
            return Err(FailedBatch {
                error,
                retryable: batch,
            });
        }
        Err(error) => {
            if let ApplyError::LogBehind(LogBehind { .. }) = &error {
                hub.stop_writes_if_log_is_behind(&error).await;
            } else {
                let groups: HashSet<_> = batch.iter().map(|waiting| &waiting.group).collect();
                groups
                    .into_iter()
                    .for_each(|group| hub.request_gap_repair(group));
            }
            let batch = Vec::new();
            return Err(FailedBatch {
                error,
                retryable: batch,
            });
        }
    };
    let stored = batch.iter().zip(&outcomes);
    acknowledged.record(stored.filter_map(|(waiting, outcome)| {
        let event = outcome.as_ref().ok()?.event.as_ref()?;
        Some((waiting.command.group_id, event.seq))
    }));
    for (waiting, outcome) in batch.iter().zip(&outcomes) {
        let is_event = outcome.as_ref().is_ok_and(|stored| stored.event.is_some());
        if let Some(key) = ToggleLimiter::reaction_key(&waiting.command).filter(|_| is_event) {
            toggles.record(key);
        }
    }
    // In the order of the log, which is that of the batch; each group's sockets are woken once.
    let mut told: HashMap<&Arc<str>, Vec<Event>> = HashMap::new();
    for (waiting, outcome) in batch.iter().zip(&outcomes) {
        let Ok(stored) = outcome else { continue };
        if let Some(event) = &stored.event {
            told.entry(&waiting.group).or_default().push(event.clone());
        } else if let (CommandKind::Read { .. }, false, Some(author)) =
            (&waiting.command.kind, stored.dup, &waiting.command.actor)
        {
            let whisper = EphemeralEvent::Read {
                group: waiting.group.as_ref().into(),
                user: author.username.as_ref().into(),
                seq: stored.seq,
            };
            hub.send_ephemeral(&waiting.group, &whisper);
        }
    }
    for (group, events) in told {
        hub.deliver_events(group, &events);
    }
    let mut retries = DuplicateCheck::OnConflict;
    for (waiting, outcome) in batch.into_iter().zip(outcomes) {
        let is_dup = outcome.as_ref().is_ok_and(|stored| stored.dup);
        if is_dup && waiting.command.cid.is_some() {
            retries = DuplicateCheck::Upfront;
        }
        // Whoever does not wait for it any more has lost its socket meanwhile.
        let _ = waiting.result_sender.send(outcome);
    }
    Ok(retries)
}

fn split_by_group(batch: Vec<QueuedCommand>) -> impl Iterator<Item = Vec<QueuedCommand>> {
    let mut parts: HashMap<i64, Vec<QueuedCommand>> = HashMap::new();
    for waiting in batch {
        let group = waiting.command.group_id;
        parts.entry(group).or_default().push(waiting);
    }
    parts.into_values()
}

fn log_store_error(error: &ApplyError) {
    tracing::error!(%error, "changes could not be stored");
}
