//! Starts the schedule of the workers with the server. (Tasks have no schedule.)

use async_trait::async_trait;
use loco_rs::{
    Error, Result,
    app::{AppContext, Initializer},
};

use crate::{
    channels::Channels,
    supervisor::Supervisor,
    workers::{purge_groups::RunningPurge, schedule},
};

/// Runs after the initializer of the channels, which request purges.
pub struct WorkersInitializer;

#[async_trait]
impl Initializer for WorkersInitializer {
    fn name(&self) -> String {
        "workers".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let store = &ctx.shared_store;
        let (Some(channels), Some(supervisor)) =
            (store.get::<Channels>(), store.get::<Supervisor>())
        else {
            return Err(Error::string(
                "the channels have not started; their initializer must run before the workers",
            ));
        };
        store.insert(RunningPurge::default());
        supervisor.spawn("worker schedule", schedule::run(ctx.clone(), channels));
        Ok(())
    }
}
