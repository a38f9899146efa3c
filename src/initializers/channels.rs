//! Opens the real-time room when the server starts, and what is limited with it. (Tasks have none.)

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
};

use crate::{channels::Channels, limits::Limits, logins::Logins, settings::Settings};

pub struct ChannelsInitializer;

#[async_trait]
impl Initializer for ChannelsInitializer {
    fn name(&self) -> String {
        "channels".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let settings = Settings::of(ctx)?;
        let channels = Channels::start(settings.clone(), ctx.db.clone()).await?;
        let logins = Logins::new(&settings.tokens.secret, channels.counters());
        ctx.shared_store.insert(channels);
        ctx.shared_store.insert(logins);
        ctx.shared_store
            .insert(Arc::new(Limits::new(&settings.limits)));
        Ok(())
    }
}
