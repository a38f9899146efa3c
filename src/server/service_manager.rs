//! Messages to the service manager, such as systemd: the start, the drain and the watchdog (sd_notify(3)).
//!
//! Without the variable `NOTIFY_SOCKET`, which a unit with `Type=notify` sets, the functions do nothing.

use std::time::Duration;

use crate::channels::Channels;

/// The number of messages to the watchdog in its time.
const KEEPALIVES_PER_WATCHDOG_TIME: u32 = 3;

/// The shortest time between two messages to the watchdog.
const MIN_KEEPALIVE_INTERVAL: Duration = Duration::from_millis(100);

/// Reports that the server accepts connections.
pub fn notify_ready() {
    #[cfg(target_os = "linux")]
    sending::send(vec![
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("serving"),
    ]);
}

/// Reports that the server stops.
pub fn notify_stopping() {
    #[cfg(target_os = "linux")]
    sending::send(vec![
        sd_notify::NotifyState::Stopping,
        sd_notify::NotifyState::Status("draining"),
    ]);
}

/// Sends messages to the watchdog (`WatchdogSec=`) while the node needs no restart. Returns at once without a watchdog.
///
/// If the watchdog receives no message in its time, the service manager restarts the process.
pub async fn serve_watchdog(channels: Channels) {
    #[cfg(target_os = "linux")]
    if let Some(limit) = sd_notify::watchdog_enabled()
        && !limit.is_zero()
    {
        let interval = (limit / KEEPALIVES_PER_WATCHDOG_TIME).max(MIN_KEEPALIVE_INTERVAL);
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            if channels.liveness_faults().is_empty() {
                sending::send(vec![sd_notify::NotifyState::Watchdog]);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    drop(channels);
}

#[cfg(target_os = "linux")]
mod sending {
    use std::{
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicBool, Ordering},
            mpsc::{SyncSender, sync_channel},
        },
        thread,
    };

    use sd_notify::NotifyState;

    /// The messages that may wait for a service manager that does not read.
    const MAX_WAITING: usize = 4;

    type Message = Vec<NotifyState<'static>>;

    /// The queue of the thread that sends. `None` before the first message.
    static QUEUE: Mutex<Option<SyncSender<Message>>> = Mutex::new(None);

    static HAS_FAILED: AtomicBool = AtomicBool::new(false);

    /// Sends a message on a thread of its own, because a service manager that does not read blocks the sender. A message
    /// is dropped while others wait.
    pub fn send(message: Message) {
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = queue.get_or_insert_with(|| {
            let (sender, messages) = sync_channel::<Message>(MAX_WAITING);
            thread::spawn(move || {
                for message in messages {
                    report(sd_notify::notify(&message));
                }
            });
            sender
        });
        // A full queue drops the message.
        let _ = sender.try_send(message);
    }

    /// Logs the first failure.
    fn report(sent: std::io::Result<()>) {
        if let Err(error) = sent
            && !HAS_FAILED.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the service manager received no message");
        }
    }
}
