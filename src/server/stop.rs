//! The signals that stop the server, and the delay before the drain.

use std::{
    io::{IsTerminal, stdin},
    sync::Arc,
    time::Duration,
};

use tokio::{select, sync::Mutex, time::sleep};

use crate::supervisor::Supervisor;

/// The reason why the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    CtrlC,
    Sigterm,
    /// The terminal of the process was closed.
    Hangup,
    TaskFailed,
}

impl StopReason {
    /// Returns `true` if new connections stay possible for a while, so that load balancers notice the
    /// stop. At Ctrl-C, a person waits.
    #[must_use]
    pub const fn delays_drain(self) -> bool {
        !matches!(self, Self::CtrlC | Self::Hangup)
    }

    /// Returns the reason for the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CtrlC | Self::Sigterm | Self::Hangup => "signal",
            Self::TaskFailed => "failure",
        }
    }
}

/// The signals that stop the server. From its creation on, no such signal ends the process at once.
pub struct StopSignals {
    ctrl_c: StopSignal,
    sigterm: StopSignal,
    hangup: StopSignal,
    /// `true` if a person has started the server in a terminal.
    has_terminal: bool,
}

/// The signals of a process, which its start and its server handle one after the other.
#[derive(Clone)]
pub struct SharedStopSignals(pub Arc<Mutex<StopSignals>>);

impl SharedStopSignals {
    /// Handles the signals from now on.
    #[must_use]
    pub fn listen() -> Self {
        Self(Arc::new(Mutex::new(StopSignals::listen())))
    }
}

impl StopSignals {
    /// Handles the signals from now on. The log has an error for each signal that cannot be handled.
    #[must_use]
    pub fn listen() -> Self {
        Self {
            ctrl_c: StopSignal::listen("Ctrl-C", SignalKind::interrupt()),
            sigterm: StopSignal::listen("SIGTERM", SignalKind::terminate()),
            hangup: StopSignal::listen("SIGHUP", SignalKind::hangup()),
            has_terminal: stdin().is_terminal(),
        }
    }

    /// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
    pub async fn wait_for_signal(&mut self) -> StopReason {
        let (reason, signal) = select! {
            () = self.ctrl_c.received() => (StopReason::CtrlC, "Ctrl-C"),
            () = self.sigterm.received() => (StopReason::Sigterm, "SIGTERM"),
            () = terminal_closed(&mut self.hangup, self.has_terminal) => (StopReason::Hangup, "SIGHUP"),
        };
        tracing::info!(signal, "stopping");
        reason
    }

    /// Waits for a signal, or for the failure of a task.
    pub async fn wait_for_signal_or_failure(&mut self, supervisor: &Supervisor) -> StopReason {
        select! {
            reason = self.wait_for_signal() => reason,
            () = supervisor.wait_for_failure() => {
                tracing::error!("stopping: a task has failed");
                StopReason::TaskFailed
            }
        }
    }

    /// Keeps serving for some seconds. Another signal ends the delay at once.
    pub async fn delay_drain(&mut self, seconds: u32) {
        select! {
            () = sleep(Duration::from_secs(seconds.into())) => {}
            () = self.ctrl_c.received() => {}
            () = self.sigterm.received() => {}
        }
    }
}

/// Waits for the end of the terminal in which a person has started the server.
///
/// Otherwise SIGHUP stops nothing: programs send the signal to a service to make it read its configuration again. The
/// log states that a restart does that.
async fn terminal_closed(hangup: &mut StopSignal, has_terminal: bool) {
    loop {
        hangup.received().await;
        if has_terminal {
            return;
        }
        tracing::warn!("SIGHUP ignored: a restart reads the configuration again");
    }
}

#[cfg(unix)]
type SignalKind = tokio::signal::unix::SignalKind;

/// A signal of the operating system. `None` if it cannot be handled.
#[cfg(unix)]
struct StopSignal(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl StopSignal {
    fn listen(name: &str, kind: SignalKind) -> Self {
        let signal = tokio::signal::unix::signal(kind);
        Self(
            signal
                .inspect_err(
                    |error| tracing::error!(%error, signal = name, "signal handler not installed"),
                )
                .ok(),
        )
    }

    /// Waits for the next signal. Waits forever if the signal cannot be handled.
    async fn received(&mut self) {
        let received = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// The only signal of systems other than Unix is Ctrl-C.
#[cfg(not(unix))]
#[derive(PartialEq, Eq)]
enum SignalKind {
    Interrupt,
    Other,
}

#[cfg(not(unix))]
impl SignalKind {
    const fn interrupt() -> Self {
        Self::Interrupt
    }

    const fn terminate() -> Self {
        Self::Other
    }

    const fn hangup() -> Self {
        Self::Other
    }
}

#[cfg(not(unix))]
struct StopSignal(SignalKind);

#[cfg(not(unix))]
impl StopSignal {
    fn listen(_name: &str, kind: SignalKind) -> Self {
        Self(kind)
    }

    async fn received(&mut self) {
        if self.0 != SignalKind::Interrupt || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
