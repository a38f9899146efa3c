//! What events mean to messages: which are messages, which event is about which message, and how
//! far each member has read.

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
            // How many messages the log has, and the number of the last; so unread ones are counted
            // by a subtraction.
            ("chat_groups", big_integer("messages").default(0).take()),
            ("chat_groups", big_integer("last_message").default(0).take()),
            // When it was deleted: what was said in it goes by and by.
            ("chat_groups", timestamp_with_time_zone_null("closed_at")),
            // How many messages the log had with this event.
            ("events", big_integer("messages").default(0).take()),
            // The message that an event is about.
            ("events", big_integer_null("target")),
            // Of a message: the last event that edited or deleted it.
            ("events", big_integer_null("revised")),
            // The last event that a member has read, and how many messages there were with it.
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
            // Until now every event was a message, and nobody could say what they had read.
            "UPDATE events SET messages = seq",
            "UPDATE chat_groups SET messages = head, last_message = head",
            "UPDATE memberships SET read = (SELECT head FROM chat_groups WHERE id = group_id), \
             read_messages = (SELECT head FROM chat_groups WHERE id = group_id)",
            // Most events are about no other one, and cost this index nothing.
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
