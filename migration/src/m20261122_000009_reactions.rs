use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table("reactions")
                .col(big_integer("group_id"))
                // The message.
                .col(big_integer("seq"))
                // No reference, as with events.
                .col(big_integer("user_id"))
                .col(string("emoji"))
                // The event that added it: what came first is shown first.
                .col(big_integer("added"))
                // In this order it finds those of a message, and those of a user to it.
                .primary_key(
                    Index::create()
                        .col("group_id")
                        .col("seq")
                        .col("user_id")
                        .col("emoji"),
                )
                .foreign_key(
                    ForeignKey::create()
                        .name("fk-reactions-group_id-to-chat_groups")
                        .from("reactions", "group_id")
                        .to("chat_groups", "id")
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table("reactions").to_owned())
            .await
    }
}
