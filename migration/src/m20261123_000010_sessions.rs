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
                // Random: after a backup was restored no new session takes the id of a lost one.
                ("id", ColType::PkUuid),
                // When it last got a token.
                ("used_at", ColType::TimestampWithTimeZone),
                ("expires_at", ColType::TimestampWithTimeZone),
                ("user_agent", ColType::StringNull),
                // The refresh token that was used last, and the one from which it came.
                ("refresh_jti", ColType::Uuid),
                ("parent_jti", ColType::UuidNull),
                // When it was used for the first time, if it came from another.
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
        // By which those are found that have expired.
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
