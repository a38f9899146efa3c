//! The schedule of the workers.
//!
//! A supervised task of the server enqueues the workers. Loco's scheduler is not used: it starts a process for each job,
//! and each process starts the app and opens a pool of connections.
//!
//! An external scheduler can do the same work with the tasks `group:purge`, `session:expire` and `invite:expire`.

use std::time::Duration;

use loco_rs::{Result, app::AppContext, bgworker::BackgroundWorker};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{expire_invites, expire_sessions, purge_groups};
use crate::channels::Channels;

/// The time between two runs of all workers.
const RUN_EVERY: Duration = Duration::from_secs(3600);

/// The time from the start of the server to the first deletion of expired rows. The clock of a machine that has just
/// started may be wrong.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(600);

/// Enqueues the workers: a purge at the start and after the deletion of a group, and all of them every hour.
pub async fn run(ctx: AppContext, channels: Channels) {
    let mut next_run = Instant::now() + FIRST_RUN_AFTER;
    loop {
        // The first purge continues the purges that an earlier process did not finish.
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

/// Logs the error of a worker that could not be enqueued.
///
/// In the mode `ForegroundBlocking`, Loco runs the worker at once, and the error is that of the worker. `job` is the id
/// of the job.
fn log_failure(worker: &str, job: Result<String>) {
    if let Err(error) = job {
        tracing::warn!(%error, worker, "worker not enqueued or failed; the next run tries again");
    }
}
