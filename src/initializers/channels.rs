//! Opens the real-time room when the server starts, and what is limited with it. (Tasks have none.)

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
};

use crate::{
    channels::Channels, database::sqlite_file, limits::RequestLimits, logins::LoginThrottle,
    settings::Settings, supervisor::Supervisor,
};

pub struct ChannelsInitializer;

#[async_trait]
impl Initializer for ChannelsInitializer {
    fn name(&self) -> String {
        "channels".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let settings = Settings::from_context(ctx)?;
        if let Err(error) = sqlite_file::assign_file_id(&ctx.db).await {
            // The disk may be full, which readiness says; the file keeps the id that it has.
            tracing::warn!(%error, "the file of the database could not be given a new id");
        }
        let supervisor = Supervisor::default();
        let (db, watched) = (ctx.db.clone(), supervisor.clone());
        let channels = Channels::start(settings.clone(), db, watched).await?;
        ctx.shared_store.insert(supervisor);
        let logins = LoginThrottle::new(&settings.tokens.secret, channels.counters());
        ctx.shared_store.insert(channels);
        ctx.shared_store.insert(logins);
        ctx.shared_store
            .insert(Arc::new(RequestLimits::new(&settings.limits)));
        Ok(())
    }
}
