use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "memberships",
            &[("id", ColType::PkAuto), ("role", ColType::String)],
            &[("user", ""), ("chat_group", "group_id")],
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-memberships-group_id-user_id")
                .table("memberships")
                .col("group_id")
                .col("user_id")
                .unique()
                .to_owned(),
        )
        .await?;
        // The unique index begins with the group. This index finds the groups of a user.
        m.create_index(
            Index::create()
                .name("idx-memberships-user_id")
                .table("memberships")
                .col("user_id")
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "memberships").await
    }
}
