//! The signals that stop the server, and the delay before the drain.

use std::time::Duration;

use tokio::{select, time::sleep};

use crate::supervisor::Supervisor;

/// Waits for Ctrl-C, SIGTERM or the failure of a task.
///
/// Returns `true` if new connections stay possible for a while, so that load balancers notice the
/// stop. Ctrl-C returns `false`, because a person waits.
pub async fn wait_for_stop(supervisor: &Supervisor) -> bool {
    select! {
        () = wait_for_ctrl_c() => {
            tracing::info!(signal = "Ctrl-C", "stopping");
            false
        }
        () = wait_for_sigterm() => {
            tracing::info!(signal = "SIGTERM", "stopping");
            true
        }
        () = supervisor.wait_for_failure() => {
            tracing::error!("stopping: a task has failed");
            true
        }
    }
}

/// Keeps serving for some seconds. Another signal ends the delay at once.
pub async fn delay_drain(seconds: u32) {
    select! {
        () = sleep(Duration::from_secs(seconds.into())) => {}
        () = wait_for_ctrl_c() => {}
        () = wait_for_sigterm() => {}
    }
}

async fn wait_for_ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "no handler for Ctrl-C");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn wait_for_sigterm() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "no handler for SIGTERM");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn wait_for_sigterm() {
    std::future::pending::<()>().await;
}
