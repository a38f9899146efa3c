//! Every connection is a file to the system, of which a process may have so many.

use rlimit::Resource;

/// Files that are kept free of connections, for the database, Redis and telling others that there is
/// no place; of few, a fifth.
const RESERVED_FILES: u64 = 512;

/// Takes all that the system gives without being asked twice, and says how many connections that
/// is enough for; `wanted` at most.
pub(super) fn raise_limit_for_connections(wanted: u32) -> usize {
    let files = match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            // What it is, or, where not even that is known, what it is nearly everywhere.
            Resource::NOFILE.get_soft().unwrap_or(1024)
        }
    };
    let connections = (files - RESERVED_FILES.min(files / 5)).min(wanted.into());
    tracing::info!(files, connections, "open files at most, and connections");
    usize::try_from(connections).unwrap_or(usize::MAX)
}
