//! Refuses to start on a database that is not migrated, or behind a pooler that mixes sessions.
//!
//! In both cases every request would fail.

use async_trait::async_trait;
use loco_rs::{
    Error, Result,
    app::{AppContext, Initializer},
};
use migration::{SchemaState, check_pooler};

/// Checks the schema and the pooler.
pub struct SchemaInitializer;

#[async_trait]
impl Initializer for SchemaInitializer {
    fn name(&self) -> String {
        "schema".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        check_pooler(&ctx.db).await?;
        let state = SchemaState::read(&ctx.db).await?;
        state.check_usable()?;
        match state {
            SchemaState::Pending(1..) => Err(Error::string(
                "the database is not migrated, and database.auto_migrate is false; run `db migrate`",
            )),
            _ => Ok(()),
        }
    }
}
