use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "bans",
            &[
                ("id", ColType::PkAuto),
                // The user who banned. There is no foreign key: the ban outlives that account.
                ("banned_by", ColType::BigInteger),
            ],
            &[("chat_group", "group_id"), ("user", "")],
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-bans-group_id-user_id")
                .table("bans")
                .col("group_id")
                .col("user_id")
                .unique()
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "bans").await
    }
}
