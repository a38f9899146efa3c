//! Supervises the tasks that a node needs: the writer, the hub, its loaders, and the links to
//! Redis.
//!
//! After a panic of such a task, the node would still answer but do only half of its work. The
//! supervisor therefore logs the panic and makes the node unready. The process then drains and ends
//! with an exit code other than 0. The service manager restarts the process.

use std::any::Any;

use tokio_util::sync::CancellationToken;

use crate::health::{Fault, Health};

/// Starts tasks and notices when a task panics. Clones share their state.
#[derive(Clone, Default)]
pub struct Supervisor {
    health: Health,
    failed: CancellationToken,
}

impl Supervisor {
    /// Returns the health in which the supervisor records a failed task.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Starts a task that runs as long as the process needs it. The log shows `name`.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let supervisor = self.clone();
        let handle = tokio::spawn(task);
        tokio::spawn(async move {
            let Err(error) = handle.await else { return };
            // A runtime that shuts down cancels its tasks, which is not a failure.
            if let Ok(panic) = error.try_into_panic() {
                tracing::error!(task = name, panic = panic_message(&*panic), "task panicked");
                supervisor.health.add_fault(Fault::TaskFailed);
                supervisor.failed.cancel();
            }
        });
    }

    /// Waits until a task has panicked.
    pub async fn wait_for_failure(&self) {
        self.failed.cancelled().await;
    }

    /// Returns `true` if a task has panicked.
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
