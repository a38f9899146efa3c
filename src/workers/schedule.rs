//! The schedule of the workers.
//!
//! Loco's scheduler runs each job as a child process, with a pool of connections and a start of its own. So this
//! supervised task of the server enqueues the workers instead. An external scheduler can run the tasks `group:purge`,
//! `session:expire` and `invite:expire`, which do the same.

use std::time::Duration;

use loco_rs::{Result, app::AppContext, bgworker::BackgroundWorker};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{expire_invites, expire_sessions, purge_groups};
use crate::channels::Channels;

/// The time between two runs.
const RUN_EVERY: Duration = Duration::from_secs(3600);

/// The time from the start of the server to the first deletion of expired rows. The clock of a machine that has just
/// started may be wrong.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(600);

/// Enqueues the workers: a purge at the start and after the deletion of a group, and all of them every hour.
pub async fn run(ctx: AppContext, channels: Channels) {
    let mut next_run = Instant::now() + FIRST_RUN_AFTER;
    loop {
        // At first, the groups that the last process did not finish.
        let purge = purge_groups::Worker::perform_later(&ctx, purge_groups::WorkerArgs {});
        log_failure("PurgeGroups", purge.await);
        select! {
            () = channels.purge_requested() => continue,
            () = sleep_until(next_run) => {}
        }
        next_run = Instant::now() + RUN_EVERY;
        let sessions = expire_sessions::Worker::perform_later(&ctx, expire_sessions::WorkerArgs {});
        log_failure("ExpireSessions", sessions.await);
        let invites = expire_invites::Worker::perform_later(&ctx, expire_invites::WorkerArgs {});
        log_failure("ExpireInvites", invites.await);
    }
}

/// Logs that a worker could not be enqueued; or, where Loco runs workers in the foreground, that it failed.
fn log_failure(worker: &str, enqueued: Result<String>) {
    if let Err(error) = enqueued {
        tracing::warn!(%error, worker, "a worker failed; the next run tries again");
    }
}
