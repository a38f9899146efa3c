//! The tasks that a node cannot do without: the writer, the hub, its loaders, the links to Redis.
//!
//! One that panics would leave a node that answers and does half of its work. So its end is logged, the node is
//! no longer ready, and the process ends after a drain, with an exit code that is not 0. The service manager then
//! starts it again.

use std::any::Any;

use tokio_util::sync::CancellationToken;

use crate::health::{Fault, Health};

/// Starts tasks and notices when one panics. Clones share what they know.
#[derive(Clone, Default)]
pub struct Supervisor {
    health: Health,
    failed: CancellationToken,
}

impl Supervisor {
    /// The health that a task's end is noted in.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Starts a task that runs as long as the process, or as long as it is needed. `name` stands in the log.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let supervisor = self.clone();
        let running = tokio::spawn(task);
        tokio::spawn(async move {
            let Err(error) = running.await else { return };
            // A runtime that shuts down cancels its tasks.
            if let Ok(panic) = error.try_into_panic() {
                tracing::error!(
                    task = name,
                    panic = panic_message(&*panic),
                    "a task panicked"
                );
                supervisor.health.add_fault(Fault::TaskFailed);
                supervisor.failed.cancel();
            }
        });
    }

    /// Waits until a task has panicked.
    pub async fn wait_for_failure(&self) {
        self.failed.cancelled().await;
    }

    /// Returns whether a task has panicked.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.is_cancelled()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}
