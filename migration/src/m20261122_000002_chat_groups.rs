use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "chat_groups",
            &[
                ("id", ColType::PkAuto),
                ("name", ColType::StringUniq),
                ("title", ColType::StringNull),
                // The seq of the last event.
                ("head", ColType::BigIntegerWithDefault(0)),
            ],
            &[],
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "chat_groups").await
    }
}
