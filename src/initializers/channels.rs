//! Opens the real-time room when the server starts. (Tasks have none.)

use async_trait::async_trait;
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
};

use crate::{channels::Channels, settings::Settings};

pub struct ChannelsInitializer;

#[async_trait]
impl Initializer for ChannelsInitializer {
    fn name(&self) -> String {
        "channels".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let channels = Channels::start(Settings::of(ctx)?, ctx.db.clone()).await?;
        ctx.shared_store.insert(channels);
        Ok(())
    }
}
