//! The indexes for lists of members and for deleted groups, at any size.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // The index has the order of a page of members. Without it, a page of a large group sorts all members.
        m.create_index(
            Index::create()
                .name("idx-memberships-group_id-id")
                .table("memberships")
                .col("group_id")
                .col("id")
                .to_owned(),
        )
        .await?;
        // Few groups are deleted at a time. A partial index, which both databases have, skips the others.
        let closed = "CREATE INDEX \"idx-chat_groups-closed_at\" ON chat_groups (closed_at) \
                      WHERE closed_at IS NOT NULL";
        m.get_connection().execute_unprepared(closed).await?;
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for (name, table) in [
            ("idx-chat_groups-closed_at", "chat_groups"),
            ("idx-memberships-group_id-id", "memberships"),
        ] {
            m.drop_index(Index::drop().name(name).table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}
