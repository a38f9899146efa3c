//! The indexes for history pages and unread counts, and the issue time of a refresh token's successor.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The index of events that appear in the history of a group: messages, and notes such as a new member.
///
/// A member can cause any number of other events, and a page of history must not read them.
/// `models::events::timeline_condition` repeats this condition literally. Otherwise neither database uses the index.
const TIMELINE_INDEX: &str = "CREATE INDEX \"idx-events-timeline\" ON events (group_id, seq) \
    WHERE kind NOT IN ('message.edited', 'message.deleted', 'reaction.added', 'reaction.removed')";

/// The index of deleted messages: a deleted message does not count as unread.
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
