//! The tables `polls` and `poll_votes`.

use loco_rs::schema::{ColType, create_table, drop_table};
use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
/// Creates the tables `polls` and `poll_votes`.
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "polls",
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
                .name("idx-polls-group_id")
                .table("polls")
                .col("group_id")
                .to_owned(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table("poll_votes")
                .col(big_integer("poll_id"))
                .col(big_integer("user_id"))
                // The index of the choice in the poll.
                .col(integer("choice"))
                // One vote for each user in each poll.
                .primary_key(Index::create().col("poll_id").col("user_id"))
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-poll_votes-poll_id-to-polls")
                        .from("poll_votes", "poll_id")
                        .to("polls", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-poll_votes-user_id-to-users")
                        .from("poll_votes", "user_id")
                        .to("users", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "poll_votes").await?;
        drop_table(m, "polls").await
    }
}
