//! Messages to the service manager, such as systemd: the start, the drain and the watchdog (sd_notify(3)).
//!
//! Without the variable `NOTIFY_SOCKET`, which a unit with `Type=notify` sets, the functions do nothing.

use std::time::Duration;

use crate::channels::Channels;

/// The watchdog is served this many times in its time.
const KEEPALIVES_PER_WATCHDOG_TIME: u32 = 3;

/// Reports that the server accepts connections.
pub fn notify_ready() {
    #[cfg(target_os = "linux")]
    notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("serving"),
    ]);
}

/// Reports that the server stops.
pub fn notify_stopping() {
    #[cfg(target_os = "linux")]
    notify(&[
        sd_notify::NotifyState::Stopping,
        sd_notify::NotifyState::Status("draining"),
    ]);
}

/// Serves the watchdog (`WatchdogSec=`) for as long as a restart would not help the node. Never returns.
///
/// Without messages for the time of the watchdog, the service manager restarts the process.
pub async fn serve_watchdog<T>(channels: Option<Channels>) -> T {
    #[cfg(target_os = "linux")]
    if let (Some(limit), Some(channels)) = (sd_notify::watchdog_enabled(), channels) {
        let mut ticks = tokio::time::interval(keepalive_interval(limit));
        loop {
            ticks.tick().await;
            if channels.liveness_faults().is_empty() {
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
        }
    }
    std::future::pending().await
}

/// Returns the time between two messages to a watchdog.
fn keepalive_interval(limit: Duration) -> Duration {
    (limit / KEEPALIVES_PER_WATCHDOG_TIME).max(Duration::from_millis(1))
}

#[cfg(target_os = "linux")]
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager received no message");
    }
}
