//! The application. Each hook calls the hook of Salam, and some hooks add to the result.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use axum::Router;
use loco_rs::{
    Error, Result,
    app::{AppContext, Hooks, Initializer},
    bgworker::Queue,
    boot::{BootResult, ServeParams, StartMode, create_app},
    config::Config,
    controller::{AppRoutes, middleware::MiddlewareLayer},
    db::truncate_table,
    environment::Environment,
    task::Tasks,
};
use migration::{MigrationLock, Migrator, MigratorTrait, SchemaManagerConnection};
use salam::{app::App, controllers::docs::OpenApiDocument, settings::DatabaseSettings};
use utoipa::OpenApi;

use crate::{
    controllers::{self, openapi::SurveysDocument},
    migrations::SurveysMigrator,
    models::{surveys, votes},
    tasks::survey_close::SurveyClose,
};

/// Salam with surveys.
pub struct SurveysApp;

#[async_trait]
impl Hooks for SurveysApp {
    fn app_name() -> &'static str {
        env!("CARGO_CRATE_NAME")
    }

    fn app_version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn routes(ctx: &AppContext) -> AppRoutes {
        App::routes(ctx).add_route(controllers::surveys::routes())
    }

    fn register_tasks(tasks: &mut Tasks) {
        App::register_tasks(tasks);
        tasks.register(SurveyClose);
    }

    async fn after_context(ctx: AppContext) -> Result<AppContext> {
        let ctx = App::after_context(ctx).await?;
        let document = OpenApiDocument::extended_by(SurveysDocument::openapi());
        ctx.shared_store.insert(Arc::new(document));
        Ok(ctx)
    }

    /// Creates the tables of the surveys. Loco calls this hook after the migrations of Salam.
    async fn before_run(ctx: &AppContext) -> Result<()> {
        App::before_run(ctx).await?;
        if !ctx.config.database.auto_migrate {
            let pending = SurveysMigrator::get_pending_migrations(&ctx.db).await?;
            return match pending.len() {
                0 => Ok(()),
                _ => Err(Error::string(
                    "the tables of the surveys are not migrated, and database.auto_migrate is false; \
                     start once with it on",
                )),
            };
        }
        // Nodes that start together migrate one after the other.
        let connection = SchemaManagerConnection::Connection(&ctx.db);
        let _lock = MigrationLock::acquire(&connection).await?;
        SurveysMigrator::up(&ctx.db, None).await?;
        Ok(())
    }

    /// Deletes all rows. A table is emptied before the tables to which it refers.
    async fn truncate(ctx: &AppContext) -> Result<()> {
        truncate_table(&ctx.db, votes::Entity).await?;
        truncate_table(&ctx.db, surveys::Entity).await?;
        App::truncate(ctx).await
    }

    async fn boot(
        mode: StartMode,
        environment: &Environment,
        mut config: Config,
    ) -> Result<BootResult> {
        DatabaseSettings::stash(&mut config)?;
        create_app::<Self, Migrator>(mode, environment, config).await
    }

    // The hooks below add nothing.

    async fn load_config(environment: &Environment) -> Result<Config> {
        App::load_config(environment).await
    }

    fn init_logger(ctx: &AppContext) -> Result<bool> {
        App::init_logger(ctx)
    }

    fn middlewares(ctx: &AppContext) -> Vec<Box<dyn MiddlewareLayer>> {
        App::middlewares(ctx)
    }

    async fn initializers(ctx: &AppContext) -> Result<Vec<Box<dyn Initializer>>> {
        App::initializers(ctx).await
    }

    async fn after_routes(router: Router, ctx: &AppContext) -> Result<Router> {
        App::after_routes(router, ctx).await
    }

    async fn serve(router: Router, ctx: &AppContext, params: &ServeParams) -> Result<()> {
        App::serve(router, ctx, params).await
    }

    async fn on_shutdown(ctx: &AppContext) {
        App::on_shutdown(ctx).await;
    }

    async fn connect_workers(ctx: &AppContext, queue: &Queue) -> Result<()> {
        App::connect_workers(ctx, queue).await
    }

    async fn seed(ctx: &AppContext, base: &Path) -> Result<()> {
        App::seed(ctx, base).await
    }
}
