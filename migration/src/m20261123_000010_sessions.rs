use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        create_table(
            m,
            "sessions",
            &[
                // Random, so that after a restored backup no new session has the id of a lost session.
                ("id", ColType::PkUuid),
                // The time at which the session last got a token.
                ("used_at", ColType::TimestampWithTimeZone),
                ("expires_at", ColType::TimestampWithTimeZone),
                ("user_agent", ColType::StringNull),
                // The refresh token that was used last, and the token that it replaced.
                ("refresh_jti", ColType::Uuid),
                ("parent_jti", ColType::UuidNull),
                // The time of its first use, if it replaced another token.
                ("rotated_at", ColType::TimestampWithTimeZoneNull),
            ],
            &[("user", "")],
        )
        .await?;
        m.create_index(
            Index::create()
                .name("idx-sessions-user_id")
                .table("sessions")
                .col("user_id")
                .to_owned(),
        )
        .await?;
        // This index finds expired sessions.
        m.create_index(
            Index::create()
                .name("idx-sessions-expires_at")
                .table("sessions")
                .col("expires_at")
                .to_owned(),
        )
        .await
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "sessions").await
    }
}
