//! Starts the channels, the login throttle and the request limits with the server. Tasks have none
//! of them.

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
};

use crate::{
    channels::Channels,
    database::sqlite_file,
    limits::{LoginThrottle, RequestLimits},
    settings::Settings,
    supervisor::Supervisor,
};

/// Starts [`Channels`], [`LoginThrottle`] and [`RequestLimits`], and puts them into the shared
/// store.
pub struct ChannelsInitializer;

#[async_trait]
impl Initializer for ChannelsInitializer {
    fn name(&self) -> String {
        "channels".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let settings = Settings::from_context(ctx)?;
        if let Err(error) = sqlite_file::assign_file_id(&ctx.db).await {
            // The disk may be full, which readiness reports. The file then keeps its current id.
            tracing::warn!(%error, "database file: new id could not be written");
        }
        let supervisor = Supervisor::default();
        let (db, task_supervisor) = (ctx.db.clone(), supervisor.clone());
        let channels = Channels::start(settings.clone(), db, task_supervisor).await?;
        ctx.shared_store.insert(supervisor);
        let logins = LoginThrottle::new(&settings.tokens.secret, channels.counters());
        ctx.shared_store.insert(channels);
        ctx.shared_store.insert(logins);
        ctx.shared_store
            .insert(Arc::new(RequestLimits::new(&settings.limits)));
        Ok(())
    }
}
