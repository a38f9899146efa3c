//! The worker `PurgeGroups`: it deletes the events of deleted groups.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{channels::Channels, models::chat_groups};

/// The worker.
pub struct Worker {
    pub ctx: AppContext,
}

/// The worker has no arguments: it purges all deleted groups.
#[derive(Debug, Deserialize, Serialize)]
pub struct WorkerArgs {}

/// The running purge of this process. Many requests at the same time cause one purge, and one more after it.
#[derive(Clone, Default)]
pub struct RunningPurge(Arc<RunningPurgeState>);

#[derive(Default)]
struct RunningPurgeState {
    lock: Mutex<()>,
    is_requested: AtomicBool,
}

#[async_trait]
impl BackgroundWorker<WorkerArgs> for Worker {
    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    fn class_name() -> String {
        "PurgeGroups".to_owned()
    }

    /// Purges all deleted groups. A purge that stops in the middle continues with the next run.
    async fn perform(&self, _: WorkerArgs) -> Result<()> {
        let running = self.ctx.shared_store.get::<RunningPurge>();
        let running = running.unwrap_or_default().0;
        running.is_requested.store(true, Ordering::SeqCst);
        // The holder of the lock checks for requests after it has released the lock, so none is lost.
        while running.is_requested.load(Ordering::SeqCst)
            && let Ok(_purging) = running.lock.try_lock()
        {
            running.is_requested.store(false, Ordering::SeqCst);
            let purged = chat_groups::Model::purge_deleted(&self.ctx.db).await;
            // The mark is also set after an error, because some events may be deleted. A task has no channels and no
            // writer.
            if let Some(channels) = self.ctx.shared_store.get::<Channels>() {
                channels.mark_texts_deleted();
            }
            purged?;
        }
        Ok(())
    }
}
