//! The indexes for pages of members, and for deleted groups.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // Pages of members have the order of this index. Without the index, the database sorts all members of the
        // group for each page.
        m.create_index(
            Index::create()
                .name("idx-memberships-group_id-id")
                .table("memberships")
                .col("group_id")
                .col("id")
                .to_owned(),
        )
        .await?;
        // Few groups are deleted at a time. The partial index omits the groups that are not deleted. Both databases
        // support partial indexes.
        let index = "CREATE INDEX \"idx-chat_groups-closed_at\" ON chat_groups (closed_at) \
                     WHERE closed_at IS NOT NULL";
        m.get_connection().execute_unprepared(index).await?;
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
