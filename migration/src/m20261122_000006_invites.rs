use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "invites",
            &[
                ("id", ColType::PkAuto),
                // The SHA-256 of the code. A reader of the database cannot join with the hash.
                ("code_hash", ColType::StringUniq),
                ("expires_at", ColType::TimestampWithTimeZone),
                // Null: unlimited.
                ("max_uses", ColType::BigIntegerNull),
                ("uses", ColType::BigIntegerWithDefault(0)),
            ],
            &[("chat_group", "group_id"), ("user", "created_by")],
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-invites-group_id")
                .table("invites")
                .col("group_id")
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "invites").await
    }
}
