//! Reads templates and texts when the server starts, and refuses to serve if one is faulty.

use async_trait::async_trait;
use axum::{Extension, Router};
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
    controller::views::ViewEngine,
};

use crate::views::pages::PageEngine;

// Loco has an engine that embeds assets/ too, but in its own crate: with each edit of a template all
// of Loco would be built anew.
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
