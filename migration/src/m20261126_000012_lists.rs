//! What lists of members and groups that are closed are found by, however many there are.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // In the order in which a page of them is read: without it, a page of a large group sorts
        // all its members.
        m.create_index(
            Index::create()
                .name("idx-memberships-group_id-id")
                .table("memberships")
                .col("group_id")
                .col("id")
                .to_owned(),
        )
        .await?;
        // Few are closed at a time, and those that are not cost nothing. (Both databases have it.)
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
