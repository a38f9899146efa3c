use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table("events")
                .col(big_integer("group_id"))
                // Gapless from 1 in each group.
                .col(big_integer("seq"))
                .col(string("kind"))
                // Who did it, if it was a user. No reference: what somebody wrote stays theirs.
                .col(big_integer_null("user_id"))
                // The client's own id of the request, so that a retry is told from a second one.
                .col(string_null("cid"))
                // JSON, in a type that takes whatever JSON says. (PostgreSQL's own cannot hold
                // an escaped NUL.)
                .col(text("data"))
                .col(timestamp_with_time_zone("created_at"))
                .primary_key(Index::create().col("group_id").col("seq"))
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-events-group_id-to-chat_groups")
                        .from("events", "group_id")
                        .to("chat_groups", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-events-group_id-user_id-cid")
                .table("events")
                .col("group_id")
                .col("user_id")
                .col("cid")
                .unique()
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table("events").to_owned()).await
    }
}
