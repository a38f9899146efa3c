//! When the server stops, and how long it stays open after it was told.

use std::time::Duration;

use tokio::{select, time::sleep};

use crate::supervisor::Supervisor;

/// Waits until the server is told to stop, or one of its tasks has failed. Returns whether the end of new
/// connections is delayed, so that load balancers notice: not for Ctrl-C, where a person waits.
pub async fn stop_requested(supervisor: &Supervisor) -> bool {
    select! {
        () = interrupted() => {
            tracing::info!("stopping");
            false
        }
        () = terminated() => {
            tracing::info!("stopping");
            true
        }
        () = supervisor.failed() => {
            tracing::error!("stopping, because a task has failed");
            true
        }
    }
}

/// Goes on serving for so many seconds; a second word to stop ends that at once.
pub async fn delay_drain(seconds: u32) {
    select! {
        () = sleep(Duration::from_secs(seconds.into())) => {}
        () = interrupted() => {}
        () = terminated() => {}
    }
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "Ctrl-C cannot be heard");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
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
