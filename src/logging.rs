//! The output of the log: standard output for `start`, and standard error for other commands. The configuration has
//! its format and level.
//!
//! A thread of its own writes the log. When nobody reads the output, the log drops lines, and the server goes on.

use std::{
    io::{IsTerminal, stderr, stdout},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use loco_rs::{
    app::Hooks,
    config::Logger,
    logger::{init_env_filter, init_layer},
};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// Lines that may wait to be written: some megabytes.
const MAX_QUEUED_LINES: usize = 16_384;

/// Held while the log is open; its end writes what waits.
static WRITER_GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// `true` when the log goes to standard error.
static TO_STANDARD_ERROR: AtomicBool = AtomicBool::new(false);

/// Writes the log to standard error from its opening on: standard output is that of a command, such as a task
/// that prints a password.
pub fn use_standard_error() {
    TO_STANDARD_ERROR.store(true, Ordering::Relaxed);
}

/// Opens the log. Says whether it did: where files are configured, Loco does it by itself.
pub fn init<H: Hooks>(config: &Logger) -> bool {
    let has_file = config.file_appender.as_ref();
    if has_file.is_some_and(|file| file.enable) || !config.enable {
        return false;
    }
    let writing = NonBlockingBuilder::default().buffered_lines_limit(MAX_QUEUED_LINES);
    let ((writer, guard), is_terminal) = if TO_STANDARD_ERROR.load(Ordering::Relaxed) {
        (writing.finish(stderr()), stderr().is_terminal())
    } else {
        (writing.finish(stdout()), stdout().is_terminal())
    };
    let filter = init_env_filter::<H>(config.override_filter.as_ref(), &config.level);
    let layer = init_layer(writer, &config.format, is_terminal);
    tracing_subscriber::registry()
        .with(vec![layer])
        .with(filter)
        .init();
    *WRITER_GUARD.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    true
}

/// Writes what waits, for the process ends.
pub fn flush_and_close() {
    let guard = WRITER_GUARD
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    drop(guard);
}
