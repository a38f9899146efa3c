//! The signals that stop the server, and the delay before the drain.

use std::time::Duration;

use tokio::{select, time::sleep};

use crate::supervisor::Supervisor;

/// The reason why the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    CtrlC,
    Sigterm,
    TaskFailed,
}

impl StopReason {
    /// Returns `true` if new connections stay possible for a while, so that load balancers notice the
    /// stop. At Ctrl-C, a person waits.
    #[must_use]
    pub const fn delays_drain(self) -> bool {
        !matches!(self, Self::CtrlC)
    }

    /// Returns the reason for the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CtrlC | Self::Sigterm => "signal",
            Self::TaskFailed => "failure",
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or the failure of a task.
pub async fn wait_for_stop(supervisor: &Supervisor) -> StopReason {
    select! {
        () = wait_for_ctrl_c() => {
            tracing::info!(signal = "Ctrl-C", "stopping");
            StopReason::CtrlC
        }
        () = wait_for_sigterm() => {
            tracing::info!(signal = "SIGTERM", "stopping");
            StopReason::Sigterm
        }
        () = supervisor.wait_for_failure() => {
            tracing::error!("stopping: a task has failed");
            StopReason::TaskFailed
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
