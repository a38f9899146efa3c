//! Loads templates and texts when the server starts. A faulty template or text prevents the start.

use async_trait::async_trait;
use axum::{Extension, Router};
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
    controller::views::ViewEngine,
};

use crate::views::pages::PageEngine;

// Loco also has an engine that embeds assets/, but in Loco's own crate. Each edit of a template
// would then rebuild all of Loco.
/// Adds the engine that renders pages to the router.
pub struct ViewEngineInitializer;

#[async_trait]
impl Initializer for ViewEngineInitializer {
    fn name(&self) -> String {
        "view_engine".to_owned()
    }

    async fn after_routes(&self, router: Router, _ctx: &AppContext) -> Result<Router> {
        Ok(router.layer(Extension(ViewEngine::from(PageEngine::build()?))))
    }
}
