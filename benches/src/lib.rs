//! Shared code of the benchmarks: the measured server, its stores and users, the load generator, the
//! cores of each process, statistics and the page of the results.
//!
//! The measured server is the release build in its own process. The load reaches it only by HTTP and
//! WebSocket, as clients do. Dropping a value stops everything that the value has started.

pub mod benchmarks_page;
pub mod child_process;
pub mod cores;
pub mod event_log;
pub mod http;
pub mod load;
pub mod node;
pub mod statistics;
pub mod stores;
pub mod users;

/// The error of a benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// The result of a benchmark's function.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Prints a line of progress on standard error, because standard output is for results.
pub fn log_progress(line: &str) {
    // If standard error is closed, progress is not needed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

/// Raises the soft limit of open files of this process to the hard limit. Returns the new limit.
///
/// # Errors
/// When the system refuses.
pub fn raise_file_limit() -> Result<u64> {
    let (_, max) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    rlimit::setrlimit(rlimit::Resource::NOFILE, max, max)?;
    Ok(max)
}
