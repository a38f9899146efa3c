//! The tables `surveys` and `survey_votes`.

use loco_rs::schema::{ColType, create_table, drop_table};
use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
/// Creates the tables `surveys` and `survey_votes`.
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "surveys",
            &[
                ("id", ColType::PkAuto),
                ("question", ColType::String),
                ("choices", ColType::Json),
                ("closed_at", ColType::TimestampWithTimeZoneNull),
            ],
            &[("chat_group", "group_id"), ("user", "")],
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-surveys-group_id")
                .table("surveys")
                .col("group_id")
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table("survey_votes")
                .col(big_integer("survey_id"))
                .col(big_integer("user_id"))
                // The index of the choice in the survey.
                .col(integer("choice"))
                // One vote for each user in each survey.
                .primary_key(Index::create().col("survey_id").col("user_id"))
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-survey_votes-survey_id-to-surveys")
                        .from("survey_votes", "survey_id")
                        .to("surveys", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-survey_votes-user_id-to-users")
                        .from("survey_votes", "user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "survey_votes").await?;
        drop_table(m, "surveys").await
    }
}
