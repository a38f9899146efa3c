//! Shared code of the benchmarks: the measured server, its stores, users, a load generator, and the
//! use of the machine.
//!
//! The rule: the measured server is another process, the release build, and is used as its users
//! use it. Dropping a value stops everything that the value has started.

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

/// Raises this process's limit of open files to its maximum. Returns the limit.
///
/// # Errors
/// When the system refuses.
pub fn raise_file_limit() -> Result<u64> {
    let (_, max) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    rlimit::setrlimit(rlimit::Resource::NOFILE, max, max)?;
    Ok(max)
}
