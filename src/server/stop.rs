//! When the server stops, and how long it stays open after it was told.

use std::time::Duration;

use tokio::{select, time::sleep};

use crate::supervisor::Supervisor;

/// Waits until the server is told to stop, or one of its tasks has failed. Returns whether the end of new
/// connections is delayed, so that load balancers notice: not for Ctrl-C, where a person waits.
pub async fn wait_for_stop(supervisor: &Supervisor) -> bool {
    select! {
        () = wait_for_ctrl_c() => {
            tracing::info!("stopping");
            false
        }
        () = wait_for_sigterm() => {
            tracing::info!("stopping");
            true
        }
        () = supervisor.wait_for_failure() => {
            tracing::error!("stopping, because a task has failed");
            true
        }
    }
}

/// Goes on serving for so many seconds; a second word to stop ends that at once.
pub async fn delay_drain(seconds: u32) {
    select! {
        () = sleep(Duration::from_secs(seconds.into())) => {}
        () = wait_for_ctrl_c() => {}
        () = wait_for_sigterm() => {}
    }
}

async fn wait_for_ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "Ctrl-C cannot be heard");
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
            tracing::error!(%error, "SIGTERM cannot be heard");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
