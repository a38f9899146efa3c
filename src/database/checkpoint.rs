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
    cannot_connect, pool_of_file, record, single,
    sqlite_file::{companion, is_replaced, path_of, watch},
};

/// How often the files are looked at.
const TICK: Duration = Duration::from_millis(50);

/// The pause between two steps. Each step flushes the file, and copies pages that change often once more, so a writer
/// that has all of a core stores more with long steps than with short ones. The steps are short where a commit is not
/// to wait, and long where the writer has no time to lose.
const STEP_EVERY: Duration = Duration::from_millis(100);
const STEP_EVERY_BUSY: Duration = Duration::from_millis(800);

/// Pages of the log that a busy writer fills in a second: some 15,000 messages.
const BUSY_PAGES: f64 = 20_000.0;

/// Pages of the log from which it is started from its beginning: 32 MiB.
const MOST_PAGES: i64 = 16_384;

/// Pages from which the writer waits longer for readers: 128 MiB.
const TOO_MANY_PAGES: i64 = 4 * MOST_PAGES;

/// How long the writer waits for readers that keep the log from being started again.
const WAIT_FOR_READERS: Duration = Duration::from_millis(20);
const WAIT_LONG_FOR_READERS: Duration = Duration::from_secs(2);

/// The pause after a long wait without success. It doubles each time, up to the longest: a reader that stays for
/// hours, such as a shell inside a transaction, must not stop the writer.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// How long nothing is written until the log is cut to no bytes.
const IDLE: Duration = Duration::from_secs(5);

/// How often a fault is logged while it lasts.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The longest time that a deleted text stays in the log, unless a reader keeps the log from being cut. The
/// texts that are deleted meanwhile go together.
const ERASED_WITHIN: Duration = Duration::from_secs(5);

/// Held by the writer during each transaction, and by the checkpoint that starts the log again. Clones share
/// it.
#[derive(Clone, Default)]
pub struct WriterGate(Arc<Gate>);

#[derive(Default)]
struct Gate {
    turn: Arc<Mutex<()>>,
    /// `true` when rows were deleted since the log was last truncated.
    has_deleted: AtomicBool,
}

impl WriterGate {
    /// Waits for the turn.
    pub async fn enter(&self) -> OwnedMutexGuard<()> {
        self.0.turn.clone().lock_owned().await
    }

    /// Notes that something was deleted that must not stay in the log: the next checkpoint within 5 s cuts
    /// the log to no bytes.
    pub fn note_deleted(&self) {
        self.0.has_deleted.store(true, Ordering::Release);
    }

    fn take_deleted(&self) -> bool {
        self.0.has_deleted.swap(false, Ordering::AcqRel)
    }
}

/// Which checkpoint it is. <https://sqlite.org/pragma.html#pragma_wal_checkpoint>
#[derive(Clone, Copy)]
enum Mode {
    /// Copies what no reader needs, beside the writer.
    Passive,
    /// Copies all, so that the next commit starts the log from its beginning. Waits for readers.
    Restart,
    /// The same, and cuts the log to no bytes.
    Truncate,
}

/// The state of the log after a checkpoint, in pages.
struct Progress {
    is_busy: bool,
    logged: i64,
    copied: i64,
}

/// Keeps the log of a file of SQLite short, for as long as the process runs.
pub struct Checkpointer {
    pool: SqlitePool,
    /// Held all the time, so that the last connection does not close and take the log with it.
    connection: PoolConnection<Sqlite>,
    file: PathBuf,
    log: PathBuf,
    gate: WriterGate,
    /// When the writer may wait long for readers again, and the pause after that.
    long_wait_at: Instant,
    pause: Duration,
}

impl Checkpointer {
    /// A checkpointer with a connection of its own. `None` where the database is not a file of SQLite.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn new(db: &DatabaseConnection, gate: WriterGate) -> Result<Option<Self>, DbErr> {
        let (Some(pool), Some(file)) = (pool_of_file(db), path_of(db)) else {
            return Ok(None);
        };
        // The file is there. If it is moved away later, a new connection must not make another one, which would
        // take the log of the first.
        let connect = (*pool.connect_options()).clone().create_if_missing(false);
        pool.set_connect_options(connect.clone());
        let options = single(pool.options()).idle_timeout(None);
        let pool = options.connect_lazy_with(connect);
        record(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()));
        let connection = pool.acquire().await.map_err(cannot_connect)?;
        let log = companion(&file, "-wal");
        Ok(Some(Self {
            pool,
            connection,
            file,
            log,
            gate,
            long_wait_at: Instant::now(),
            pause: FIRST_PAUSE,
        }))
    }

    /// Runs until the pools are closed. `on_replaced` is called with whether another file, or none, lies where
    /// the open one, its log or the index of its log was, whenever that changes: what is stored then is lost with the process.
    pub async fn run(mut self, on_replaced: impl Fn(bool)) {
        // The log is there from the first use on.
        let _ = self.checkpoint(Mode::Passive, Duration::ZERO).await;
        watch(&self.file);
        // The last process may have ended before it cut a deleted text from the log.
        self.gate.note_deleted();
        let mut was_replaced = false;
        let mut written = None;
        let mut written_at = Instant::now();
        let mut stepped_at = Instant::now();
        let mut step_every = STEP_EVERY;
        let mut logged = 0;
        let mut is_done = true;
        let mut is_cut = false;
        let mut logged_at: Option<Instant> = None;
        let mut erased_at = Instant::now();
        loop {
            select! {
                () = sleep(TICK) => {}
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
            let now = last_write(&self.log);
            let must_erase = erased_at.elapsed() >= ERASED_WITHIN && self.gate.take_deleted();
            let result = if must_erase {
                (written, written_at, is_cut) = (now, Instant::now(), false);
                erased_at = Instant::now();
                // Most pages are copied beside the writer.
                match self.checkpoint(Mode::Passive, Duration::ZERO).await {
                    Ok(_) => self.cut().await,
                    failed => failed,
                }
            } else if now != written {
                (written, written_at, is_cut) = (now, Instant::now(), false);
                self.keep_short().await
            } else if !is_done {
                self.keep_short().await
            } else if !is_cut && written_at.elapsed() > IDLE {
                self.cut().await
            } else {
                continue;
            };
            let since = stepped_at.elapsed();
            stepped_at = Instant::now();
            match result {
                Ok(progress) => {
                    // A log that was started again has fewer than before.
                    let grown = progress.logged.saturating_sub(logged);
                    let grown = if grown < 0 { progress.logged } else { grown };
                    logged = progress.logged;
                    let grown = f64::from(i32::try_from(grown).unwrap_or(i32::MAX));
                    step_every = if grown / since.as_secs_f64() > BUSY_PAGES {
                        STEP_EVERY_BUSY
                    } else {
                        STEP_EVERY
                    };
                    is_cut = progress.logged == 0 && !progress.is_busy;
                    is_done = progress.copied >= progress.logged;
                    if must_erase && !is_cut {
                        // A reader keeps the old pages: tried again in 5 s.
                        self.gate.note_deleted();
                    }
                    if is_cut {
                        written = last_write(&self.log);
                    } else if progress.is_busy {
                        // A reader keeps the log from being cut. The next attempt waits for the next idle time.
                        written_at = Instant::now();
                    }
                }
                Err(error) => {
                    // Tried again at the next tick.
                    is_done = false;
                    if must_erase {
                        self.gate.note_deleted();
                    }
                    if logged_at.is_none_or(|at| at.elapsed() > LOG_EVERY) {
                        logged_at = Some(Instant::now());
                        tracing::warn!(%error, "a checkpoint of SQLite failed; the write-ahead log grows");
                    }
                }
            }
        }
    }

    async fn keep_short(&mut self) -> Result<Progress, SqlxError> {
        let mut progress = self.checkpoint(Mode::Passive, Duration::ZERO).await?;
        if progress.logged < MOST_PAGES {
            return Ok(progress);
        }
        // A second step copies the pages that were written meanwhile. Little is left for the moment in which the
        // writer waits.
        progress = self.checkpoint(Mode::Passive, Duration::ZERO).await?;
        let is_long = progress.logged >= TOO_MANY_PAGES && self.long_wait_at <= Instant::now();
        let is_held_up = progress.logged - progress.copied > MOST_PAGES / 8;
        if is_held_up && !is_long {
            // A reader needs old pages: the next tick tries again.
            return Ok(progress);
        }
        let patience = if is_long {
            WAIT_LONG_FOR_READERS
        } else {
            WAIT_FOR_READERS
        };
        let _writer_waits = self.gate.clone().enter().await;
        let progress = self.checkpoint(Mode::Restart, patience).await?;
        if !progress.is_busy {
            self.pause = FIRST_PAUSE;
        } else if is_long {
            tracing::warn!(
                pages = progress.logged,
                "a reader keeps the write-ahead log of SQLite from starting again: it grows"
            );
            self.long_wait_at = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Ok(progress)
    }

    async fn cut(&mut self) -> Result<Progress, SqlxError> {
        let _writer_waits = self.gate.clone().enter().await;
        self.checkpoint(Mode::Truncate, WAIT_FOR_READERS).await
    }

    async fn checkpoint(&mut self, mode: Mode, patience: Duration) -> Result<Progress, SqlxError> {
        let mode = match mode {
            Mode::Passive => "PASSIVE",
            Mode::Restart => "RESTART",
            Mode::Truncate => "TRUNCATE",
        };
        let wait = format!("PRAGMA busy_timeout = {}", patience.as_millis());
        let copy = format!("PRAGMA wal_checkpoint({mode})");
        let connection = &mut *self.connection;
        raw_sql(AssertSqlSafe(wait))
            .execute(&mut *connection)
            .await?;
        let row = raw_sql(AssertSqlSafe(copy)).fetch_one(connection).await?;
        Ok(Progress {
            is_busy: row.try_get::<i64, _>(0)? != 0,
            logged: row.try_get(1)?,
            copied: row.try_get(2)?,
        })
    }
}

/// When something was last written to the log.
fn last_write(log: &Path) -> Option<SystemTime> {
    fs::metadata(log).ok()?.modified().ok()
}
