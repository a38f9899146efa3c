//! The limit of open files. Every connection is an open file of the process.

use rlimit::Resource;

/// The number of files that are reserved for the database, Redis and rejected connections.
///
/// If the limit is low, a fifth is reserved instead.
const RESERVED_FILES: u64 = 512;

/// Raises the limit of open files as far as the system allows. Returns the number of connections
/// that it permits, at most `wanted`.
pub(super) fn raise_limit_for_connections(wanted: u32) -> usize {
    let files = match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            // The current limit, or the usual default if the current limit is unknown.
            Resource::NOFILE.get_soft().unwrap_or(1024)
        }
    };
    let connections = permitted_connections(files).min(wanted.into());
    tracing::info!(files, connections, "limits of open files and connections");
    usize::try_from(connections).unwrap_or(usize::MAX)
}

/// Returns the number of connections that a limit of open files permits.
#[must_use]
pub const fn permitted_connections(files: u64) -> u64 {
    let fifth = files / 5;
    let reserved = if RESERVED_FILES < fifth {
        RESERVED_FILES
    } else {
        fifth
    };
    files - reserved
}

/// Returns the number of connections that the hard limit of this process permits.
///
/// # Errors
/// When the system does not report the limit.
pub fn hard_limit_connections() -> std::io::Result<u64> {
    Ok(permitted_connections(Resource::NOFILE.get_hard()?))
}
