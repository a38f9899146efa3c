//! Opens the log: on standard output for `start`, and on standard error for other commands.
//!
//! The configuration has the format and the level. A thread of its own writes the log. If the
//! output is not read, the log drops lines and the server continues.

mod json_lines;

use std::{
    io::{IsTerminal, stderr, stdout},
    panic,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use loco_rs::{
    app::{AppContext, Hooks},
    logger::{Format, init_env_filter, init_layer},
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::json_lines::JsonLines;
use crate::settings::Settings;
#[cfg(feature = "otlp")]
use crate::trace;

/// A layer that writes the log.
type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The number of lines that may wait to be written: some megabytes.
const MAX_QUEUED_LINES: usize = 16_384;

/// The guard of the writer thread. Dropping the guard writes all waiting lines.
static WRITER_GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The counter of lines that were dropped because nothing read the output.
static DROPPED_LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// `true` when the log goes to standard error.
static TO_STANDARD_ERROR: AtomicBool = AtomicBool::new(false);

/// Sends the log to standard error. Call this before [`init`].
///
/// Standard output then has only the output of the command, such as a task that prints a password.
pub fn use_standard_error() {
    TO_STANDARD_ERROR.store(true, Ordering::Relaxed);
}

/// Opens the log. Each line in JSON has the name of the node and the version.
///
/// Returns `false` if the log is disabled or goes to files, which Loco handles itself.
pub fn init<H: Hooks>(ctx: &AppContext, version: &str) -> bool {
    let config = &ctx.config.logger;
    let file_appender = config.file_appender.as_ref();
    if file_appender.is_some_and(|file| file.enable) || !config.enable {
        return false;
    }
    let builder = NonBlockingBuilder::default().buffered_lines_limit(MAX_QUEUED_LINES);
    let ((writer, guard), is_terminal) = if TO_STANDARD_ERROR.load(Ordering::Relaxed) {
        (builder.finish(stderr()), stderr().is_terminal())
    } else {
        (builder.finish(stdout()), stdout().is_terminal())
    };
    // A second log in one process, which only tests have, does not replace the counter.
    let _ = DROPPED_LINES.set(writer.error_counter());
    let filter = init_env_filter::<H>(config.override_filter.as_ref(), &config.level);
    let layer = match config.format {
        Format::Json => {
            log_panics();
            let settings = Settings::from_context(ctx);
            let node = settings.map(|settings| settings.node_name.clone());
            fmt::layer()
                .json()
                .event_format(JsonLines::new(&node.unwrap_or_default(), version))
                .with_writer(writer)
                .boxed()
        }
        Format::Compact | Format::Pretty => init_layer(writer, &config.format, is_terminal),
    };
    open_subscriber(layer, filter, ctx, version);
    *WRITER_GUARD.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    true
}

/// Opens the subscriber of all lines and, with the feature `otlp`, of all exported spans.
///
/// The filter of the log applies to the log alone, so that each level exports the same spans.
#[cfg(feature = "otlp")]
fn open_subscriber(layer: LogLayer, filter: EnvFilter, ctx: &AppContext, version: &str) {
    let settings = Settings::from_context(ctx).ok();
    let export = settings.and_then(|settings| {
        let endpoint = settings.otlp_endpoint.as_ref()?;
        Some(trace::open_export(endpoint, &settings.node_name, version))
    });
    let (export, error) = match export {
        Some(Ok(export)) => (Some(export), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let layers = [layer.with_filter(filter).boxed()]
        .into_iter()
        .chain(export);
    tracing_subscriber::registry()
        .with(layers.collect::<Vec<_>>())
        .init();
    if let Some(error) = error {
        tracing::warn!(%error, "the export of traces did not start");
    }
}

#[cfg(not(feature = "otlp"))]
fn open_subscriber(layer: LogLayer, filter: EnvFilter, ctx: &AppContext, _version: &str) {
    tracing_subscriber::registry()
        .with(vec![layer])
        .with(filter)
        .init();
    let settings = Settings::from_context(ctx);
    if settings.is_ok_and(|settings| settings.otlp_endpoint.is_some()) {
        tracing::warn!(
            "otlp_endpoint is set, but this program was built without the feature otlp: no traces are exported"
        );
    }
}

/// Returns the number of lines that the log has dropped because nothing read the output.
#[must_use]
pub fn dropped_lines() -> usize {
    DROPPED_LINES.get().map_or(0, ErrorCounter::dropped_lines)
}

/// Logs each panic, in addition to its text on standard error.
fn log_panics() {
    let print_panic = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(
            panic = panic.payload_as_str().unwrap_or("unknown"),
            location,
            thread = thread::current().name(),
            "thread panicked"
        );
        print_panic(panic);
    }));
}

/// Writes all waiting lines and closes the log. Call this when the process ends.
pub fn flush_and_close() {
    let guard = WRITER_GUARD
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    drop(guard);
}
