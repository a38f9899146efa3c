//! Checkpoints of SQLite off the commit path.
//!
//! A commit appends pages to the write-ahead log, and a checkpoint copies them into the file. By default the
//! commit that crosses a limit of the log runs the checkpoint itself, and everybody waits for that commit. Here
//! a task with a connection of its own copies in small steps, beside the writer and without a lock that the
//! writer needs. Only when the log has grown to its limit does the task hold the writer between two batches,
//! for the few pages that are left, so that the next commit starts the log from its beginning.
//! <https://sqlite.org/wal.html#ckpt>

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use sea_orm::{
    DatabaseConnection, DbErr, SqlxError, SqlxSqliteConnector,
    sqlx::{AssertSqlSafe, Row, Sqlite, SqlitePool, pool::PoolConnection, raw_sql},
};
use tokio::{
    select,
    sync::{Mutex, OwnedMutexGuard},
    time::sleep,
};

use super::{
    connection_error, single_connection,
    sqlite_file::{companion_path, is_replaced, sqlite_path, watch},
    sqlite_file_pool, track_pool,
};

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The pause between two steps. Each step flushes the file, and copies pages that change often once more, so a writer
/// that has all of a core stores more with long steps than with short ones. The steps are short where a commit is not
/// to wait, and long where the writer has no time to lose.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);
const BUSY_CHECKPOINT_INTERVAL: Duration = Duration::from_millis(800);

/// Pages of the log that a busy writer fills in a second: some 15,000 messages.
const BUSY_PAGES_PER_SECOND: f64 = 20_000.0;

/// Pages of the log from which it is started from its beginning: 32 MiB.
const MAX_WAL_PAGES: i64 = 16_384;

/// Pages from which the writer waits longer for readers: 128 MiB.
const CRITICAL_WAL_PAGES: i64 = 4 * MAX_WAL_PAGES;

/// How long the writer waits for readers that keep the log from being started again.
const READER_WAIT: Duration = Duration::from_millis(20);
const LONG_READER_WAIT: Duration = Duration::from_secs(2);

/// The pause after a long wait without success. It doubles each time, up to the longest: a reader that stays for
/// hours, such as a shell inside a transaction, must not stop the writer.
const INITIAL_LONG_WAIT_BACKOFF: Duration = Duration::from_secs(2);
const MAX_LONG_WAIT_BACKOFF: Duration = Duration::from_secs(120);

/// How long nothing is written until the log is cut to no bytes.
const TRUNCATE_AFTER_IDLE: Duration = Duration::from_secs(5);

/// How often a fault is logged while it lasts.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The longest time that a deleted text stays in the log, unless a reader keeps the log from being cut. The
/// texts that are deleted meanwhile go together.
const ERASE_INTERVAL: Duration = Duration::from_secs(5);

/// Held by the writer during each transaction, and by the checkpoint that starts the log again. Clones share
/// it.
#[derive(Clone, Default)]
pub struct WriterLock(Arc<WriterLockState>);

#[derive(Default)]
struct WriterLockState {
    mutex: Arc<Mutex<()>>,
    /// `true` when rows were deleted since the log was last truncated.
    has_deleted_texts: AtomicBool,
}

impl WriterLock {
    /// Waits for the turn.
    pub async fn lock(&self) -> OwnedMutexGuard<()> {
        self.0.mutex.clone().lock_owned().await
    }

    /// Notes that something was deleted that must not stay in the log: the next checkpoint within 5 s cuts
    /// the log to no bytes.
    pub fn mark_deleted(&self) {
        self.0.has_deleted_texts.store(true, Ordering::Release);
    }

    fn take_deleted_mark(&self) -> bool {
        self.0.has_deleted_texts.swap(false, Ordering::AcqRel)
    }
}

/// Which checkpoint it is. <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
#[derive(Clone, Copy)]
enum CheckpointMode {
    /// Copies what no reader needs, beside the writer.
    Passive,
    /// Copies all, so that the next commit starts the log from its beginning. Waits for readers.
    Restart,
    /// The same, and cuts the log to no bytes.
    Truncate,
}

/// The state of the log after a checkpoint, in pages.
struct CheckpointResult {
    is_busy: bool,
    wal_pages: i64,
    copied_pages: i64,
}

/// Keeps the log of a file of SQLite short, for as long as the process runs.
pub struct Checkpointer {
    pool: SqlitePool,
    /// Held all the time, so that the last connection does not close and take the log with it.
    connection: PoolConnection<Sqlite>,
    file: PathBuf,
    wal: PathBuf,
    writer_lock: WriterLock,
    /// When the writer may wait long for readers again, and the pause after that.
    next_long_wait: Instant,
    backoff: Duration,
}

impl Checkpointer {
    /// A checkpointer with a connection of its own. `None` where the database is not a file of SQLite.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn new(db: &DatabaseConnection, gate: WriterLock) -> Result<Option<Self>, DbErr> {
        let (Some(pool), Some(file)) = (sqlite_file_pool(db), sqlite_path(db)) else {
            return Ok(None);
        };
        // The file is there. If it is moved away later, a new connection must not make another one, which would
        // take the log of the first.
        let connect = (*pool.connect_options()).clone().create_if_missing(false);
        pool.set_connect_options(connect.clone());
        let options = single_connection(pool.options()).idle_timeout(None);
        let pool = options.connect_lazy_with(connect);
        track_pool(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()));
        let connection = pool.acquire().await.map_err(connection_error)?;
        let log = companion_path(&file, "-wal");
        Ok(Some(Self {
            pool,
            connection,
            file,
            wal: log,
            writer_lock: gate,
            next_long_wait: Instant::now(),
            backoff: INITIAL_LONG_WAIT_BACKOFF,
        }))
    }

    /// Runs until the pools are closed. `on_replaced` is called with whether another file, or none, lies where
    /// the open one, its log or the index of its log was, whenever that changes: what is stored then is lost with the process.
    pub async fn run(mut self, on_replaced: impl Fn(bool)) {
        // The log is there from the first use on.
        let _ = self
            .checkpoint(CheckpointMode::Passive, Duration::ZERO)
            .await;
        watch(&self.file);
        // The last process may have ended before it cut a deleted text from the log.
        self.writer_lock.mark_deleted();
        let mut was_replaced = false;
        let mut written = None;
        let mut written_at = Instant::now();
        let mut stepped_at = Instant::now();
        let mut step_every = CHECKPOINT_INTERVAL;
        let mut logged = 0;
        let mut is_done = true;
        let mut is_cut = false;
        let mut logged_at: Option<Instant> = None;
        let mut erased_at = Instant::now();
        loop {
            select! {
                () = sleep(CHECK_INTERVAL) => {}
                () = self.pool.close_event() => return,
            }
            let is_replaced = is_replaced(&self.file);
            if is_replaced != was_replaced {
                was_replaced = is_replaced;
                on_replaced(is_replaced);
            }
            if stepped_at.elapsed() < step_every {
                continue;
            }
            let now = wal_modified_at(&self.wal);
            let must_erase =
                erased_at.elapsed() >= ERASE_INTERVAL && self.writer_lock.take_deleted_mark();
            let result = if must_erase {
                (written, written_at, is_cut) = (now, Instant::now(), false);
                erased_at = Instant::now();
                // Most pages are copied beside the writer.
                match self
                    .checkpoint(CheckpointMode::Passive, Duration::ZERO)
                    .await
                {
                    Ok(_) => self.truncate_wal().await,
                    failed => failed,
                }
            } else if now != written {
                (written, written_at, is_cut) = (now, Instant::now(), false);
                self.limit_wal().await
            } else if !is_done {
                self.limit_wal().await
            } else if !is_cut && written_at.elapsed() > TRUNCATE_AFTER_IDLE {
                self.truncate_wal().await
            } else {
                continue;
            };
            let since = stepped_at.elapsed();
            stepped_at = Instant::now();
            match result {
                Ok(progress) => {
                    // A log that was started again has fewer than before.
                    let grown = progress.wal_pages.saturating_sub(logged);
                    let grown = if grown < 0 { progress.wal_pages } else { grown };
                    logged = progress.wal_pages;
                    let grown = f64::from(i32::try_from(grown).unwrap_or(i32::MAX));
                    step_every = if grown / since.as_secs_f64() > BUSY_PAGES_PER_SECOND {
                        BUSY_CHECKPOINT_INTERVAL
                    } else {
                        CHECKPOINT_INTERVAL
                    };
                    is_cut = progress.wal_pages == 0 && !progress.is_busy;
                    is_done = progress.copied_pages >= progress.wal_pages;
                    if must_erase && !is_cut {
                        // A reader keeps the old pages: tried again in 5 s.
                        self.writer_lock.mark_deleted();
                    }
                    if is_cut {
                        written = wal_modified_at(&self.wal);
                    } else if progress.is_busy {
                        // A reader keeps the log from being cut. The next attempt waits for the next idle time.
                        written_at = Instant::now();
                    }
                }
                Err(error) => {
                    // Tried again at the next tick.
                    is_done = false;
                    if must_erase {
                        self.writer_lock.mark_deleted();
                    }
                    if logged_at.is_none_or(|at| at.elapsed() > FAILURE_LOG_INTERVAL) {
                        logged_at = Some(Instant::now());
                        tracing::warn!(%error, "a checkpoint of SQLite failed; the write-ahead log grows");
                    }
                }
            }
        }
    }

    async fn limit_wal(&mut self) -> Result<CheckpointResult, SqlxError> {
        let mut progress = self
            .checkpoint(CheckpointMode::Passive, Duration::ZERO)
            .await?;
        if progress.wal_pages < MAX_WAL_PAGES {
            return Ok(progress);
        }
        // A second step copies the pages that were written meanwhile. Little is left for the moment in which the
        // writer waits.
        progress = self
            .checkpoint(CheckpointMode::Passive, Duration::ZERO)
            .await?;
        let is_long =
            progress.wal_pages >= CRITICAL_WAL_PAGES && self.next_long_wait <= Instant::now();
        let is_held_up = progress.wal_pages - progress.copied_pages > MAX_WAL_PAGES / 8;
        if is_held_up && !is_long {
            // A reader needs old pages: the next tick tries again.
            return Ok(progress);
        }
        let patience = if is_long {
            LONG_READER_WAIT
        } else {
            READER_WAIT
        };
        let _writer_waits = self.writer_lock.clone().lock().await;
        let progress = self.checkpoint(CheckpointMode::Restart, patience).await?;
        if !progress.is_busy {
            self.backoff = INITIAL_LONG_WAIT_BACKOFF;
        } else if is_long {
            tracing::warn!(
                pages = progress.wal_pages,
                "a reader keeps the write-ahead log of SQLite from starting again: it grows"
            );
            self.next_long_wait = Instant::now() + self.backoff;
            self.backoff = (self.backoff * 2).min(MAX_LONG_WAIT_BACKOFF);
        }
        Ok(progress)
    }

    async fn truncate_wal(&mut self) -> Result<CheckpointResult, SqlxError> {
        let _writer_waits = self.writer_lock.clone().lock().await;
        self.checkpoint(CheckpointMode::Truncate, READER_WAIT).await
    }

    async fn checkpoint(
        &mut self,
        mode: CheckpointMode,
        patience: Duration,
    ) -> Result<CheckpointResult, SqlxError> {
        let mode = match mode {
            CheckpointMode::Passive => "PASSIVE",
            CheckpointMode::Restart => "RESTART",
            CheckpointMode::Truncate => "TRUNCATE",
        };
        let wait = format!("PRAGMA busy_timeout = {}", patience.as_millis());
        let copy = format!("PRAGMA wal_checkpoint({mode})");
        let connection = &mut *self.connection;
        raw_sql(AssertSqlSafe(wait))
            .execute(&mut *connection)
            .await?;
        let row = raw_sql(AssertSqlSafe(copy)).fetch_one(connection).await?;
        Ok(CheckpointResult {
            is_busy: row.try_get::<i64, _>(0)? != 0,
            wal_pages: row.try_get(1)?,
            copied_pages: row.try_get(2)?,
        })
    }
}

/// When something was last written to the log.
fn wal_modified_at(log: &Path) -> Option<SystemTime> {
    fs::metadata(log).ok()?.modified().ok()
}
