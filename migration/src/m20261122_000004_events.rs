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
                // Starts at 1 and has no gap within a group.
                .col(big_integer("seq"))
                .col(string("kind"))
                // The user who caused the event; null for other causes. There is no foreign key, so the event
                // keeps its author.
                .col(big_integer_null("user_id"))
                // The client's own id of the request. It distinguishes a retry from a second request.
                .col(string_null("cid"))
                // JSON, in a type that accepts every JSON text. (PostgreSQL's JSON type cannot hold an
                // escaped NUL.)
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
