//! What the benchmarks share: a Salam to measure, what it keeps its data in, people who use it, a
//! load generator, and how much of the machine it took.
//!
//! The rule: what is measured is another process, the program as it is released, reached as its users
//! reach it. Whatever is started here ends with the value that stands for it.

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

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A line of progress. It goes to standard error: standard output is for results.
pub fn log_progress(line: &str) {
    // Whoever has closed it does not want to read it.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

/// Lets this process have as many files as it may; how many that is.
///
/// # Errors
/// The system's.
pub fn raise_file_limit() -> Result<u64> {
    let (_, most) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    rlimit::setrlimit(rlimit::Resource::NOFILE, most, most)?;
    Ok(most)
}
