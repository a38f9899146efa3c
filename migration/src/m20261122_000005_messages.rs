//! The columns that relate events to messages: the counts of messages, the target of an event, and the read
//! position of each member.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// SQLite adds one column at a time.
const ADDED_COLUMNS: [(&str, &[&str]); 3] = [
    ("chat_groups", &["messages", "last_message", "closed_at"]),
    ("events", &["messages", "target", "revised"]),
    ("memberships", &["read", "read_messages"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in [
            // The number of messages in the log, and the seq of the last message. A subtraction then gives
            // the number of unread messages.
            ("chat_groups", big_integer("messages").default(0).take()),
            ("chat_groups", big_integer("last_message").default(0).take()),
            // The time of the group's deletion. A purge deletes its events later.
            ("chat_groups", timestamp_with_time_zone_null("closed_at")),
            // The number of messages in the log up to and including this event.
            ("events", big_integer("messages").default(0).take()),
            // The message to which an event refers.
            ("events", big_integer_null("target")),
            // The last event that edited or deleted this message.
            ("events", big_integer_null("revised")),
            // The last event that a member has read, and the number of messages up to that event.
            ("memberships", big_integer("read").default(0).take()),
            (
                "memberships",
                big_integer("read_messages").default(0).take(),
            ),
        ] {
            let add = Table::alter().table(table).add_column(column).to_owned();
            m.alter_table(add).await?;
        }
        let db = m.get_connection();
        for statement in [
            // Before this migration, every event was a message, and no read position was stored.
            "UPDATE events SET messages = seq",
            "UPDATE chat_groups SET messages = head, last_message = head",
            "UPDATE memberships SET read = (SELECT head FROM chat_groups WHERE id = group_id), \
             read_messages = (SELECT head FROM chat_groups WHERE id = group_id)",
            // Most events have no target, and add nothing to this index.
            "CREATE INDEX \"idx-events-group_id-target\" ON events (group_id, target) \
             WHERE target IS NOT NULL",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let drop = Index::drop()
            .name("idx-events-group_id-target")
            .table("events")
            .to_owned();
        m.drop_index(drop).await?;
        for (table, columns) in ADDED_COLUMNS {
            for column in columns {
                let drop = Table::alter().table(table).drop_column(*column).to_owned();
                m.alter_table(drop).await?;
            }
        }
        Ok(())
    }
}
