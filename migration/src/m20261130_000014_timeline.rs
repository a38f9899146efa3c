//! The indices of history pages and of unread counts, and the moment at which the successor of a refresh token
//! was issued.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The events that stand on their own in the history of a group: messages, and notes such as a new member.
/// A member can make any number of the others, and a page of history must not read them. The queries of
/// `models::messages` repeat this condition word by word, or no database uses the index.
const TIMELINE_INDEX: &str = "CREATE INDEX \"idx-events-timeline\" ON events (group_id, seq) \
    WHERE kind NOT IN ('message.edited', 'message.deleted', 'reaction.added', 'reaction.removed')";

/// The deletions of messages: a deleted message is not unread.
const DELETED_INDEX: &str = "CREATE INDEX \"idx-events-deleted\" ON events (group_id, target) \
    WHERE kind = 'message.deleted'";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for index in [TIMELINE_INDEX, DELETED_INDEX] {
            m.get_connection().execute_unprepared(index).await?;
        }
        m.alter_table(
            Table::alter()
                .table("sessions")
                .add_column(timestamp_with_time_zone_null("successor_at"))
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.alter_table(
            Table::alter()
                .table("sessions")
                .drop_column("successor_at")
                .to_owned(),
        )
        .await?;
        for name in ["idx-events-deleted", "idx-events-timeline"] {
            m.drop_index(Index::drop().name(name).table("events").to_owned())
                .await?;
        }
        Ok(())
    }
}
