use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "users",
            &[
                ("id", ColType::PkAuto),
                ("username", ColType::String),
                // The case-folded username. Its index makes usernames unique.
                ("username_key", ColType::StringUniq),
                ("name", ColType::String),
                ("password_hash", ColType::String),
                ("is_active", ColType::BooleanWithDefault(true)),
            ],
            &[],
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "users").await
    }
}
