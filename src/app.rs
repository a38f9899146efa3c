//! Connects the parts of the app. The generators add code here, next to the comments that name the
//! generators.

use std::{path::Path, sync::Arc, time::Instant};

use async_trait::async_trait;
#[allow(unused_imports)] // The generators' lines use it.
use loco_rs::bgworker::BackgroundWorker;
use loco_rs::{
    Result,
    app::{AppContext, Hooks, Initializer},
    bgworker::Queue,
    boot::{BootResult, ServeParams, StartMode, create_app},
    config::Config,
    controller::{AppRoutes, middleware::MiddlewareLayer},
    db::truncate_table,
    environment::Environment,
    task::Tasks,
};
use migration::Migrator;
use tokio_util::sync::CancellationToken;

#[allow(unused_imports)] // The generators' lines use them.
use crate::{
    channels::Channels,
    controllers, database,
    health::Fault,
    initializers, logging, middleware,
    models::{
        bans, chat_groups, events, invites, memberships, reactions, sessions, skeletons, users,
    },
    seed,
    server::{self, SharedStopSignals, service_manager},
    settings::{self, DatabaseSettings, Settings},
    supervisor::Supervisor,
    tasks,
    tokens::Tokens,
};

/// The Loco app.
pub struct App;

#[async_trait]
impl Hooks for App {
    fn app_name() -> &'static str {
        env!("CARGO_CRATE_NAME")
    }

    fn app_version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    async fn load_config(environment: &Environment) -> Result<Config> {
        let mut config = settings::load_config(environment)?;
        // A faulty setting is reported before anything is opened.
        Settings::load(&config, environment)?;
        // This check runs before the SQLite file is opened.
        database::sqlite_file::check_wal_owner(&config.database.uri)
            .map_err(loco_rs::Error::Message)?;
        DatabaseSettings::stash(&mut config)?;
        Ok(config)
    }

    async fn boot(
        mode: StartMode,
        environment: &Environment,
        mut config: Config,
    ) -> Result<BootResult> {
        // Tests set the database of each app here.
        DatabaseSettings::stash(&mut config)?;
        create_app::<Self, Migrator>(mode, environment, config).await
    }

    async fn after_context(mut ctx: AppContext) -> Result<AppContext> {
        let settings = Settings::load(&ctx.config, &ctx.environment)?;
        let DatabaseSettings { uri, run_on_start } = DatabaseSettings::from_config(&ctx.config);
        ctx.db = database::open_pool(
            &uri,
            run_on_start.as_deref(),
            &ctx.config.database,
            &settings.node_name.client_name(),
        )?;
        settings::encode_settings(&mut ctx.config)?;
        ctx.shared_store.insert(Tokens::new(&settings.tokens));
        ctx.shared_store.insert(Arc::new(settings));
        let document = controllers::docs::OpenApiDocument::default();
        ctx.shared_store.insert(Arc::new(document));
        Ok(ctx)
    }

    fn init_logger(ctx: &AppContext) -> Result<bool> {
        Ok(logging::init::<Self>(ctx, &Self::app_version()))
    }

    fn middlewares(ctx: &AppContext) -> Vec<Box<dyn MiddlewareLayer>> {
        middleware::stack(ctx)
    }

    async fn initializers(_ctx: &AppContext) -> Result<Vec<Box<dyn Initializer>>> {
        Ok(vec![
            Box::new(initializers::schema::SchemaInitializer),
            Box::new(initializers::channels::ChannelsInitializer),
            Box::new(initializers::view_engine::ViewEngineInitializer),
            Box::new(initializers::workers::WorkersInitializer),
        ])
    }

    #[rustfmt::skip] // The generators add a route after the line of `AppRoutes`.
    fn routes(ctx: &AppContext) -> AppRoutes {
        AppRoutes::empty()
            .add_route(controllers::auth::routes())
            .add_route(controllers::chat::routes())
            .add_route(controllers::docs::routes(Settings::from_context(ctx).ok().as_deref()))
            .add_route(controllers::groups::routes())
            .add_route(controllers::health::routes())
            .add_route(controllers::invites::routes())
            .add_route(controllers::members::routes())
            .add_route(controllers::messages::routes())
            .add_route(controllers::pages::routes())
            .add_route(controllers::reactions::routes())
            .add_route(controllers::sessions::routes())
            .add_route(controllers::socket::routes())
    }

    async fn after_routes(router: axum::Router, ctx: &AppContext) -> Result<axum::Router> {
        let router = if ctx.environment == Environment::Development {
            controllers::docs::add_book(router)
        } else {
            router
        };
        server::add_outer_layers(router, ctx)
    }

    async fn serve(app: axum::Router, ctx: &AppContext, params: &ServeParams) -> Result<()> {
        let settings = Settings::from_context(ctx)?;
        let listener = server::bind(&params.binding, params.port).await?;
        server::log_start(ctx, &settings);
        // The start has listened for signals since its beginning.
        let signals = ctx.shared_store.get::<SharedStopSignals>();
        let signals = signals.unwrap_or_else(SharedStopSignals::listen);
        let mut signals = signals.0.lock().await;
        let channels = ctx.shared_store.get::<Channels>();
        if let Some(channels) = &channels {
            channels.wait_for_broker().await;
        }
        server::print_addresses(listener.local_addr()?, ctx)?;
        service_manager::notify_ready();
        let stop = CancellationToken::new();
        let serving = server::serve(listener, app, &settings.door, stop.clone());
        let supervisor = ctx.shared_store.get::<Supervisor>().unwrap_or_default();
        let stopping = async {
            let reason = signals.wait_for_signal_or_failure(&supervisor).await;
            let since = Instant::now();
            service_manager::notify_stopping();
            supervisor.health().add_fault(Fault::Stopping);
            if reason.delays_drain() {
                signals.delay_drain(settings.drain_delay).await;
            }
            stop.cancel();
            Self::on_shutdown(ctx).await;
            (reason, since)
        };
        // The metrics show the drain, so their listener closes last.
        let metrics_stop = CancellationToken::new();
        if let Some(channels) = channels.clone() {
            supervisor.spawn("watchdog", service_manager::serve_watchdog(channels));
        }
        let metrics = server::serve_metrics(&settings.metrics, channels, metrics_stop.clone());
        let stopping = async {
            let ((), stopped) = tokio::join!(serving, stopping);
            metrics_stop.cancel();
            stopped
        };
        let ((), (reason, since)) = tokio::join!(metrics, stopping);
        let drain_seconds = since.elapsed().as_secs_f64();
        tracing::info!(reason = reason.name(), drain_seconds, "stopped");
        if supervisor.has_failed() {
            return Err(loco_rs::Error::string(
                "a task of the server failed, see the log; restart the server",
            ));
        }
        Ok(())
    }

    async fn on_shutdown(ctx: &AppContext) {
        if let Some(channels) = ctx.shared_store.get::<Channels>() {
            channels.drain().await;
        }
    }

    #[allow(unused_variables)] // The generators' lines use them.
    #[rustfmt::skip] // The generators look for this signature on one line.
    async fn connect_workers(ctx: &AppContext, queue: &Queue) -> Result<()> {
        queue.register(crate::workers::expire_invites::Worker::build(ctx)).await?;
        queue.register(crate::workers::expire_sessions::Worker::build(ctx)).await?;
        queue.register(crate::workers::purge_groups::Worker::build(ctx)).await?;
        Ok(())
    }

    fn register_tasks(tasks: &mut Tasks) {
        tasks.register(tasks::epoch_begin::EpochBegin);
        tasks.register(tasks::group_purge::GroupPurge);
        tasks.register(tasks::group_send::GroupSend);
        tasks.register(tasks::invite_expire::InviteExpire);
        tasks.register(tasks::session_expire::SessionExpire);
        tasks.register(tasks::session_list::SessionList);
        tasks.register(tasks::session_revoke::SessionRevoke);
        tasks.register(tasks::user_activate::UserActivate);
        tasks.register(tasks::user_deactivate::UserDeactivate);
        tasks.register(tasks::user_reset_password::UserResetPassword);
        // tasks-inject (do not remove this comment: the generators write above it)
    }

    async fn truncate(ctx: &AppContext) -> Result<()> {
        truncate_table(&ctx.db, reactions::Entity).await?;
        truncate_table(&ctx.db, events::Entity).await?;
        truncate_table(&ctx.db, invites::Entity).await?;
        truncate_table(&ctx.db, bans::Entity).await?;
        truncate_table(&ctx.db, memberships::Entity).await?;
        truncate_table(&ctx.db, chat_groups::Entity).await?;
        truncate_table(&ctx.db, sessions::Entity).await?;
        truncate_table(&ctx.db, skeletons::Entity).await?;
        truncate_table(&ctx.db, users::Entity).await?;
        Ok(())
    }

    async fn seed(ctx: &AppContext, _base: &Path) -> Result<()> {
        seed::run(ctx).await
    }
}
