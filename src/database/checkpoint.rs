//! Checkpoints of SQLite, run by a task outside the commit path.
//!
//! A commit appends pages to the write-ahead log, and a checkpoint copies the pages into the file. By default, the
//! commit that crosses a limit of the log runs the checkpoint itself, and all later commands wait for that commit.
//!
//! Here, a task with its own connection copies in small steps. It runs in parallel with the writer and needs no
//! lock of the writer. When the log has grown to its limit, the task holds the writer between two batches. Only a
//! few pages are left then, and the next commit starts the log from its beginning.
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

/// The interval of the checks for replaced files.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The pause between two steps.
///
/// Each step flushes the file, and copies pages that change often once more. So a writer that uses a whole core
/// stores more with long pauses. Short pauses keep the wait of a single commit short. Long pauses serve a busy
/// writer.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);
const BUSY_CHECKPOINT_INTERVAL: Duration = Duration::from_millis(800);

/// The pages of the log per second that a busy writer fills: about 15,000 messages.
const BUSY_PAGES_PER_SECOND: f64 = 20_000.0;

/// The number of pages at which the log starts from its beginning: 32 MiB.
const MAX_WAL_PAGES: i64 = 16_384;

/// The number of pages at which the writer waits longer for readers: 128 MiB.
const CRITICAL_WAL_PAGES: i64 = 4 * MAX_WAL_PAGES;

/// The time that the writer waits for readers that keep the log from starting again.
const READER_WAIT: Duration = Duration::from_millis(20);
const LONG_READER_WAIT: Duration = Duration::from_secs(2);

/// The pause after a long wait that failed. The pause doubles each time, up to the maximum.
///
/// A reader that stays for hours, such as a shell inside a transaction, must not stop the writer.
const INITIAL_LONG_WAIT_BACKOFF: Duration = Duration::from_secs(2);
const MAX_LONG_WAIT_BACKOFF: Duration = Duration::from_secs(120);

/// The time without writes after which the log is truncated to zero bytes.
const TRUNCATE_AFTER_IDLE: Duration = Duration::from_secs(5);

/// The interval of log lines about a fault that lasts.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The longest time that deleted text stays in the log, unless a reader keeps the log from being truncated.
///
/// One truncation erases all text that was deleted in this time.
const ERASE_INTERVAL: Duration = Duration::from_secs(5);

/// The lock that the writer holds during each transaction, and the checkpoint while it restarts the log.
///
/// Clones share the lock.
#[derive(Clone, Default)]
pub struct WriterLock(Arc<WriterLockState>);

#[derive(Default)]
struct WriterLockState {
    mutex: Arc<Mutex<()>>,
    /// `true` when rows were deleted since the log was last truncated.
    has_deleted_texts: AtomicBool,
}

impl WriterLock {
    /// Waits for the lock.
    pub async fn lock(&self) -> OwnedMutexGuard<()> {
        self.0.mutex.clone().lock_owned().await
    }

    /// Marks the log for truncation, because deleted text must not stay in it.
    ///
    /// A checkpoint within 5 s truncates the log to zero bytes.
    pub fn mark_deleted(&self) {
        self.0.has_deleted_texts.store(true, Ordering::Release);
    }

    fn take_deleted_mark(&self) -> bool {
        self.0.has_deleted_texts.swap(false, Ordering::AcqRel)
    }
}

/// The mode of a checkpoint. <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
#[derive(Clone, Copy)]
enum CheckpointMode {
    /// Copies the pages that no reader needs, in parallel with the writer.
    Passive,
    /// Copies all pages, so that the next commit starts the log from its beginning. Waits for readers.
    Restart,
    /// Does the same as `Restart`, and truncates the log to zero bytes.
    Truncate,
}

/// The state of the log after a checkpoint, in pages.
struct CheckpointResult {
    is_busy: bool,
    wal_pages: i64,
    copied_pages: i64,
}

/// The task that keeps the log of a file of SQLite short, as long as the process runs.
pub struct Checkpointer {
    pool: SqlitePool,
    /// The connection, open all the time: when the last connection closes, SQLite removes the log.
    connection: PoolConnection<Sqlite>,
    file: PathBuf,
    wal: PathBuf,
    writer_lock: WriterLock,
    /// The time from which the writer may wait long for readers again, and the pause after that.
    next_long_wait: Instant,
    backoff: Duration,
}

impl Checkpointer {
    /// Makes a checkpointer with its own connection. Returns `None` if the database is not a file of SQLite.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn new(
        db: &DatabaseConnection,
        writer_lock: WriterLock,
    ) -> Result<Option<Self>, DbErr> {
        let (Some(pool), Some(file)) = (sqlite_file_pool(db), sqlite_path(db)) else {
            return Ok(None);
        };
        // The file exists. If it is moved later, a new connection must not create another file: that file would
        // take over the log of the first.
        let connect = (*pool.connect_options()).clone().create_if_missing(false);
        pool.set_connect_options(connect.clone());
        let options = single_connection(pool.options()).idle_timeout(None);
        let pool = options.connect_lazy_with(connect);
        track_pool(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()));
        let connection = pool.acquire().await.map_err(connection_error)?;
        let wal = companion_path(&file, "-wal");
        Ok(Some(Self {
            pool,
            connection,
            file,
            wal,
            writer_lock,
            next_long_wait: Instant::now(),
            backoff: INITIAL_LONG_WAIT_BACKOFF,
        }))
    }

    /// Runs until the pools are closed.
    ///
    /// Calls `on_replaced` on each change of this state: whether another file, or none, is at the path of the
    /// open file, its log or the index of its log. Commits in that state are lost when the process ends.
    pub async fn run(mut self, on_replaced: impl Fn(bool)) {
        // The log exists from the first use on.
        let _ = self
            .checkpoint(CheckpointMode::Passive, Duration::ZERO)
            .await;
        watch(&self.file);
        // The last process may have ended before it truncated the log with deleted text.
        self.writer_lock.mark_deleted();
        let mut was_replaced = false;
        let mut written = None;
        let mut written_at = Instant::now();
        let mut stepped_at = Instant::now();
        let mut step_every = CHECKPOINT_INTERVAL;
        let mut last_wal_pages = 0;
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
            let modified_at = wal_modified_at(&self.wal);
            let must_erase =
                erased_at.elapsed() >= ERASE_INTERVAL && self.writer_lock.take_deleted_mark();
            let result = if must_erase {
                (written, written_at, is_cut) = (modified_at, Instant::now(), false);
                erased_at = Instant::now();
                // Most pages are copied in parallel with the writer.
                match self
                    .checkpoint(CheckpointMode::Passive, Duration::ZERO)
                    .await
                {
                    Ok(_) => self.truncate_wal().await,
                    failed => failed,
                }
            } else if modified_at != written {
                (written, written_at, is_cut) = (modified_at, Instant::now(), false);
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
                    // A log that was started again has fewer pages than before.
                    let grown = progress.wal_pages.saturating_sub(last_wal_pages);
                    let grown = if grown < 0 { progress.wal_pages } else { grown };
                    last_wal_pages = progress.wal_pages;
                    let grown = f64::from(i32::try_from(grown).unwrap_or(i32::MAX));
                    step_every = if grown / since.as_secs_f64() > BUSY_PAGES_PER_SECOND {
                        BUSY_CHECKPOINT_INTERVAL
                    } else {
                        CHECKPOINT_INTERVAL
                    };
                    is_cut = progress.wal_pages == 0 && !progress.is_busy;
                    is_done = progress.copied_pages >= progress.wal_pages;
                    if must_erase && !is_cut {
                        // A reader keeps the old pages. The task tries again in 5 s.
                        self.writer_lock.mark_deleted();
                    }
                    if is_cut {
                        written = wal_modified_at(&self.wal);
                    } else if progress.is_busy {
                        // A reader keeps the log from being truncated. The next attempt follows the next idle time.
                        written_at = Instant::now();
                    }
                }
                Err(error) => {
                    // The next tick tries again.
                    is_done = false;
                    if must_erase {
                        self.writer_lock.mark_deleted();
                    }
                    if logged_at.is_none_or(|at| at.elapsed() > FAILURE_LOG_INTERVAL) {
                        logged_at = Some(Instant::now());
                        tracing::warn!(%error, "SQLite checkpoint failed; the write-ahead log grows");
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
        // A second step copies the pages that were written during the first step. So few pages are left while the
        // writer waits.
        progress = self
            .checkpoint(CheckpointMode::Passive, Duration::ZERO)
            .await?;
        let is_long =
            progress.wal_pages >= CRITICAL_WAL_PAGES && self.next_long_wait <= Instant::now();
        let is_held_up = progress.wal_pages - progress.copied_pages > MAX_WAL_PAGES / 8;
        if is_held_up && !is_long {
            // A reader needs old pages. The next tick tries again.
            return Ok(progress);
        }
        let reader_wait = if is_long {
            LONG_READER_WAIT
        } else {
            READER_WAIT
        };
        let _writer_lock_guard = self.writer_lock.clone().lock().await;
        let progress = self
            .checkpoint(CheckpointMode::Restart, reader_wait)
            .await?;
        if !progress.is_busy {
            self.backoff = INITIAL_LONG_WAIT_BACKOFF;
        } else if is_long {
            tracing::warn!(
                pages = progress.wal_pages,
                "a reader blocks the restart of the SQLite write-ahead log; the log grows"
            );
            self.next_long_wait = Instant::now() + self.backoff;
            self.backoff = (self.backoff * 2).min(MAX_LONG_WAIT_BACKOFF);
        }
        Ok(progress)
    }

    async fn truncate_wal(&mut self) -> Result<CheckpointResult, SqlxError> {
        let _writer_lock_guard = self.writer_lock.clone().lock().await;
        self.checkpoint(CheckpointMode::Truncate, READER_WAIT).await
    }

    async fn checkpoint(
        &mut self,
        mode: CheckpointMode,
        reader_wait: Duration,
    ) -> Result<CheckpointResult, SqlxError> {
        let mode = match mode {
            CheckpointMode::Passive => "PASSIVE",
            CheckpointMode::Restart => "RESTART",
            CheckpointMode::Truncate => "TRUNCATE",
        };
        let wait = format!("PRAGMA busy_timeout = {}", reader_wait.as_millis());
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

/// Returns the time of the last write to the log.
fn wal_modified_at(wal: &Path) -> Option<SystemTime> {
    fs::metadata(wal).ok()?.modified().ok()
}
