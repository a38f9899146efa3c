//! The writer: applies the commands of this node, many in one transaction (group commit).
//!
//! Commands that arrive during a transaction share the next one, also of many groups, so that a message costs a
//! share of a commit. A lone command is committed at once. After a batch, the writer waits up to a quarter of the
//! last commit's time, so that its senders' next commands share one transaction: their answers reach them one after
//! the other, and the first sender's next command would get a transaction of its own.
//!
//! A queued command is completed even if its request is cancelled. It is acknowledged and broadcast after its commit.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::DatabaseConnection;
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use super::{effects, hub::Hub};
use crate::{
    database::{DbErrorKind, Outage, checkpoint::WriterLock, classify, with_db_timeout},
    health::Health,
    metrics::METRICS,
    models::{
        epochs,
        group_commands::{
            AppliedCommand, CommandKind, CommandOutcome, DuplicateCheck, GroupCommand,
            ToggleLimiter,
        },
        rejections::CommandError,
    },
    supervisor::Supervisor,
    trace,
};

/// The highest number of commands in one transaction.
const MAX_BATCH_ITEMS: usize = 256;

/// The highest number of commands in one transaction that are not about messages. Such a command has several statements
/// of its own, and the groups of the batch stay locked until these statements end.
const MAX_MANAGEMENT_COMMANDS: usize = 16;

/// The number of commands that may wait in the queue. Further callers wait until the queue has room.
const QUEUE_CAPACITY: usize = 1024;

/// The queue of the writer's task. Clones share it.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<QueueItem>);

/// An item of the writer's queue.
enum QueueItem {
    Command(QueuedCommand),
    /// A check whether the database accepts writes, over the writer's own connection.
    Probe(oneshot::Sender<Result<(), Outage>>),
}

/// A command that waits for its batch.
pub(super) struct QueuedCommand {
    /// The name of the group: its topic.
    pub group: Arc<str>,
    pub command: GroupCommand,
    result_sender: oneshot::Sender<Result<AppliedCommand, CommandError>>,
    /// The span of the request that sent the command, for the trace of the request.
    pub span: Span,
    /// Makes a drain wait for the command. A command of a socket has no token, because its socket has one.
    _drain_token: Option<TaskTrackerToken>,
}

impl Writer {
    /// Starts the writer's task, with a database connection of its own. The task holds the writer lock while it writes.
    pub fn start(
        db: DatabaseConnection,
        hub: Arc<Hub>,
        writer_lock: WriterLock,
        supervisor: &Supervisor,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_CAPACITY);
        let health = supervisor.health().clone();
        supervisor.spawn("writer", run_writer(waiting, db, hub, writer_lock, health));
        Self(queue)
    }

    /// The number of commands that wait.
    pub fn queue_length(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// Checks whether the database accepts writes, after the queued commands.
    ///
    /// # Errors
    /// The reason why the database does not accept writes. `None`: the writer has stopped.
    pub async fn probe(&self) -> Result<(), Option<Outage>> {
        let (result_sender, result) = oneshot::channel();
        let sent = self.0.send(QueueItem::Probe(result_sender)).await;
        sent.map_err(|_| None)?;
        result.await.map_err(|_| None)?.map_err(Some)
    }

    /// Executes a command in the group with this name. When this returns, the command is committed and broadcast, or
    /// rejected.
    ///
    /// # Errors
    /// [`CommandError`] when the command is rejected, and when the database fails.
    pub async fn execute(
        &self,
        group: Arc<str>,
        command: GroupCommand,
    ) -> Result<AppliedCommand, CommandError> {
        let pending = self.submit(group, command, None).await?;
        pending.outcome().await
    }

    /// Queues a command after those that were queued before. A drain waits for a command with a `drain_token`.
    ///
    /// # Errors
    /// [`CommandError::Aborted`] when the writer has stopped.
    pub async fn submit(
        &self,
        group: Arc<str>,
        command: GroupCommand,
        drain_token: Option<TaskTrackerToken>,
    ) -> Result<PendingResult, CommandError> {
        let (result_sender, result) = oneshot::channel();
        let span = trace::command_span();
        let queued = QueuedCommand {
            group,
            command,
            result_sender,
            span,
            _drain_token: drain_token,
        };
        let sent = self.0.send(QueueItem::Command(queued)).await;
        sent.map_err(|_| CommandError::Aborted)?;
        Ok(PendingResult(result))
    }
}

/// The result of a queued command.
pub(super) struct PendingResult(oneshot::Receiver<Result<AppliedCommand, CommandError>>);

impl PendingResult {
    /// Waits until the command is committed or rejected.
    ///
    /// # Errors
    /// [`CommandError`] when the command is rejected, and when the database fails.
    pub async fn outcome(self) -> Result<AppliedCommand, CommandError> {
        self.0.await.map_err(|_| CommandError::Aborted)?
    }
}

/// The share of the last transaction's time for which the writer waits for its senders' next commands.
const BATCH_WAIT_DIVISOR: u32 = 4;

/// The longest such wait.
const MAX_BATCH_WAIT: Duration = Duration::from_millis(1);

/// The last transaction.
#[derive(Default)]
struct LastBatchStats {
    commands: usize,
    duration: Duration,
    /// `true` if retries are likely: a client that reconnects sends unanswered commands again, and other clients follow.
    duplicate_check: DuplicateCheck,
}

/// Waits for as many commands as the last batch had, if they arrive soon.
async fn collect_batch(
    waiting: &mut mpsc::Receiver<QueueItem>,
    batch: &mut Vec<QueueItem>,
    last: &LastBatchStats,
) {
    let started_at = Instant::now();
    let max_wait = (last.duration / BATCH_WAIT_DIVISOR).min(MAX_BATCH_WAIT);
    while batch.len() < last.commands && started_at.elapsed() < max_wait {
        // The timer of the runtime is too coarse. Other tasks run while this task yields.
        yield_now().await;
        while batch.len() < MAX_BATCH_ITEMS
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
    }
}

/// Returns the number of items that form the next batch. The other items wait for the batch after it.
fn batch_length(queued: &[QueueItem]) -> usize {
    let is_management = |item: &QueueItem| matches!(item, QueueItem::Command(queued) if !queued.command.kind.is_about_messages());
    let mut management = (0..).zip(queued).filter(|(_, item)| is_management(item));
    management
        .nth(MAX_MANAGEMENT_COMMANDS)
        .map_or(queued.len(), |(index, _)| index)
}

async fn run_writer(
    mut waiting: mpsc::Receiver<QueueItem>,
    db: DatabaseConnection,
    hub: Arc<Hub>,
    writer_lock: WriterLock,
    health: Health,
) {
    let mut queued = Vec::new();
    let mut last = LastBatchStats::default();
    let toggles = ToggleLimiter::default();
    while !queued.is_empty() || waiting.recv_many(&mut queued, MAX_BATCH_ITEMS).await > 0 {
        collect_batch(&mut waiting, &mut queued, &last).await;
        let length = batch_length(&queued);
        let (mut batch, mut probes) = (Vec::with_capacity(queued.len()), Vec::new());
        for item in queued.drain(..length) {
            match item {
                QueueItem::Command(queued) => batch.push(queued),
                QueueItem::Probe(probe) => probes.push(probe),
            }
        }
        if health.forbids_writes() {
            // The callers get `CommandError::Aborted`, because their channels are closed.
            batch.clear();
        }
        let _writing = writer_lock.lock().await;
        if batch.iter().any(|queued| queued.command.removes_text()) {
            writer_lock.mark_deleted();
        }
        if !batch.is_empty() {
            let (started_at, commands) = (Instant::now(), batch.len());
            let (duplicate_check, error) =
                store_batch(&db, &hub, &toggles, batch, last.duplicate_check).await;
            if let Some(CommandError::Db(error)) = &error {
                METRICS.database_errors.inc([classify(error).class()]);
            }
            if let Some(outage) = error.as_ref().and_then(outage_of) {
                health.record_failed_write(outage);
            }
            last = LastBatchStats {
                commands,
                duration: started_at.elapsed(),
                duplicate_check,
            };
        }
        if !probes.is_empty() {
            let result = with_db_timeout(epochs::Model::check_writable(&db)).await;
            let result = result.map_err(|error| {
                tracing::warn!(%error, "the database does not accept writes");
                classify(&error).outage().unwrap_or(Outage::StorageFailed)
            });
            for probe in probes {
                let _ = probe.send(result);
            }
        }
    }
}

/// Stores a batch. If the error is about some of its rows, smaller parts are tried: first the commands of each group,
/// then each command alone.
///
/// Returns whether retries are likely next, and the last error.
async fn store_batch(
    db: &DatabaseConnection,
    hub: &Arc<Hub>,
    toggles: &ToggleLimiter,
    batch: Vec<QueuedCommand>,
    duplicate_check: DuplicateCheck,
) -> (DuplicateCheck, Option<CommandError>) {
    let (mut next_check, mut last_error) = (duplicate_check, None);
    let mut parts = VecDeque::from([batch]);
    while let Some(part) = parts.pop_front() {
        let FailedBatch { error, batch: part } =
            match commit_batch(db, hub, toggles, part, duplicate_check).await {
                Ok(check) => {
                    next_check = check;
                    continue;
                }
                Err(failed) => failed,
            };
        let smaller = match &error {
            CommandError::Db(error) => split_batch(part, classify(error)),
            _ => Err(part),
        };
        match smaller {
            Ok(smaller) => {
                tracing::warn!(%error, "batch not stored: retrying its parts");
                parts.extend(smaller);
            }
            Err(part) => {
                tracing::error!(%error, "commands not stored");
                let is_row_specific = matches!(
                    &error,
                    CommandError::Db(error) if classify(error).is_row_specific()
                );
                reject_all(part, &error);
                if !is_row_specific {
                    // The database fails: the other parts would fail too.
                    parts.drain(..).for_each(|part| reject_all(part, &error));
                }
                last_error = Some(error);
            }
        }
    }
    if last_error.is_some() {
        // Clients send the commands again that were not stored.
        next_check = DuplicateCheck::Upfront;
    }
    (next_check, last_error)
}

fn outage_of(error: &CommandError) -> Option<Outage> {
    match error {
        CommandError::Db(error) | CommandError::OutcomeUnknown(error) => classify(error).outage(),
        _ => None,
    }
}

/// A batch that was not stored, or whose outcome is unknown.
struct FailedBatch {
    error: CommandError,
    batch: Vec<QueuedCommand>,
}

/// Applies a batch in one transaction, broadcasts its effects and sends the results. Returns whether retries are
/// likely next.
async fn commit_batch(
    db: &DatabaseConnection,
    hub: &Arc<Hub>,
    toggles: &ToggleLimiter,
    batch: Vec<QueuedCommand>,
    duplicate_check: DuplicateCheck,
) -> Result<DuplicateCheck, FailedBatch> {
    let started_at = Instant::now();
    let commands: Vec<_> = batch.iter().map(|queued| &queued.command).collect();
    let acknowledged = hub.log_watch.acknowledged_heads();
    let applying = async {
        let check = duplicate_check;
        Ok(GroupCommand::apply_batch(db, &commands, check, acknowledged, toggles).await)
    };
    let commit_spans = trace::spans_of(
        &batch,
        |queued| tracing::info_span!(parent: &queued.span, "commit", group = &*queued.group, commands = batch.len()),
    );
    // A database that does not answer must not block all senders forever. A transaction that times out is rolled back,
    // unless its commit has begun.
    let applied = with_db_timeout(applying).await;
    drop(commit_spans);
    let mut outcomes = match applied
        .map_err(CommandError::OutcomeUnknown)
        .and_then(|applied| applied)
    {
        Ok(outcomes) => outcomes,
        Err(error) => {
            METRICS.commit_failures.inc([error.class()]);
            match &error {
                CommandError::LogBehind(_) => hub.log_watch.stop_writes_if_behind(&error).await,
                CommandError::Db(error) if classify(error).is_row_specific() => {}
                _ => {
                    // The commit may have succeeded: all nodes compare the groups with the log.
                    let groups: HashSet<_> = batch.iter().map(|queued| &queued.group).collect();
                    groups
                        .into_iter()
                        .for_each(|group| hub.delivery.request_gap_repair(group));
                }
            }
            return Err(FailedBatch { error, batch });
        }
    };
    METRICS.commit_seconds.observe(started_at.elapsed());
    METRICS.commit_commands.observe_count(batch.len());
    count_results(&batch, &outcomes);
    let appended = || {
        batch.iter().zip(&outcomes).filter_map(|(queued, outcome)| {
            let last = outcome.as_ref().ok()?.events.last()?;
            Some((&queued.command, last.seq))
        })
    };
    acknowledged.record(appended().map(|(command, seq)| (command.group_id, seq)));
    for key in appended().filter_map(|(command, _)| ToggleLimiter::reaction_key(command)) {
        toggles.record(key);
    }
    effects::broadcast(hub, &batch, &mut outcomes);
    let mut next_check = DuplicateCheck::OnConflict;
    for (queued, outcome) in batch.into_iter().zip(outcomes) {
        let is_dup = outcome.as_ref().is_ok_and(|applied| applied.dup);
        if let Ok(applied) = &outcome {
            log_stored_message(&queued, applied);
        }
        if is_dup && queued.command.cid.is_some() {
            next_check = DuplicateCheck::Upfront;
        }
        // The request or the socket may have ended.
        let _ = queued.result_sender.send(outcome.map_err(Into::into));
    }
    Ok(next_check)
}

/// Counts the results of a batch. Commands next to each other mostly have the same kind and result.
fn count_results(batch: &[QueuedCommand], outcomes: &[CommandOutcome]) {
    let mut last = None;
    let mut count = 0;
    for (queued, outcome) in batch.iter().zip(outcomes) {
        let result = match outcome {
            Ok(applied) if applied.dup => "duplicate",
            Ok(_) => "stored",
            Err(_) => "rejected",
        };
        let labels = [queued.command.kind.name(), result];
        if let Some(before) = last.replace(labels)
            && before != labels
        {
            METRICS.commands.inc_by(before, count);
            count = 0;
        }
        count += 1;
    }
    if let Some(labels) = last {
        METRICS.commands.inc_by(labels, count);
    }
}

/// Logs a new message, without its text.
fn log_stored_message(queued: &QueuedCommand, applied: &AppliedCommand) {
    if matches!(queued.command.kind, CommandKind::Send { .. }) && !applied.dup {
        tracing::debug!(
            parent: &queued.span,
            user = queued.command.actor.as_ref().map(|actor| actor.id),
            group = &*queued.group,
            seq = applied.seq,
            has_cid = queued.command.cid.is_some(),
            "message stored"
        );
    }
}

/// Splits a batch into smaller parts that may succeed after an error of this kind: by group, or into single commands.
///
/// Single commands are not tried against locks of other transactions: each would wait for the lock again.
///
/// # Errors
/// The batch, if it cannot be split or the parts would fail too.
fn split_batch(
    batch: Vec<QueuedCommand>,
    error: DbErrorKind,
) -> Result<Vec<Vec<QueuedCommand>>, Vec<QueuedCommand>> {
    let groups: HashSet<_> = batch.iter().map(|queued| queued.command.group_id).collect();
    if !error.is_row_specific() || batch.len() < 2 {
        return Err(batch);
    }
    if groups.len() < 2 {
        if error == DbErrorKind::LockConflict {
            return Err(batch);
        }
        return Ok(batch.into_iter().map(|queued| vec![queued]).collect());
    }
    let mut parts: HashMap<i64, Vec<QueuedCommand>> = HashMap::new();
    for queued in batch {
        let group = queued.command.group_id;
        parts.entry(group).or_default().push(queued);
    }
    Ok(parts.into_values().collect())
}

/// Sends the error to all callers of a batch.
fn reject_all(batch: Vec<QueuedCommand>, error: &CommandError) {
    for queued in batch {
        METRICS.commands.inc([queued.command.kind.name(), "failed"]);
        let _ = queued.result_sender.send(Err(error.clone()));
    }
}
