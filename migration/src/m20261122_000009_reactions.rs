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
                // The seq of the message.
                .col(big_integer("seq"))
                // There is no foreign key, as in `events`.
                .col(big_integer("user_id"))
                .col(string("emoji"))
                // The event that added the reaction. Reactions are shown in this order.
                .col(big_integer("added"))
                // This order of columns finds the reactions to a message, and those of a user to a message.
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
