//! The epochs of this database. A seq has a meaning only within one epoch.
//!
//! After a backup was restored, the same seq may be another event.

use std::time::{Duration, Instant};

use chrono::Utc;
use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, Statement, sea_query::Expr};
use uuid::Uuid;

pub use super::_entities::epochs::{ActiveModel, Column, Entity, Model};

use super::log::begin_write;
use crate::database::{DbErrorKind, classify};

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the current epoch. The first call begins the first epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn current(db: &DatabaseConnection) -> Result<Self, DbErr> {
        match Self::find_last(db).await? {
            Some(epoch) => Ok(epoch),
            None => Self::begin_next(db, None).await,
        }
    }

    /// Begins the epoch after the epoch with the name `ended`, and returns the current epoch.
    ///
    /// If another node has begun an epoch first, the function returns that epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_next(db: &DatabaseConnection, ended: Option<&str>) -> Result<Self, DbErr> {
        let last = Self::find_last(db).await?;
        if let Some(last) = last.as_ref().filter(|last| Some(&*last.name) != ended) {
            return Ok(last.clone());
        }
        let epoch = ActiveModel {
            // If several nodes begin an epoch at the same time, the database accepts the first.
            id: Set(last.map_or(1, |last| last.id + 1)),
            name: Set(Uuid::new_v4().simple().to_string()),
            ..Default::default()
        };
        match epoch.insert(db).await {
            Ok(epoch) => Ok(epoch),
            Err(error) => match (classify(&error), Self::find_last(db).await?) {
                (DbErrorKind::UniqueViolation, Some(epoch)) => Ok(epoch),
                _ => Err(error),
            },
        }
    }

    /// Updates an existing row and commits, which proves that the database accepts writes.
    ///
    /// # Errors
    /// When the database does not accept writes.
    pub async fn check_writable(db: &DatabaseConnection) -> Result<(), DbErr> {
        Self::update_timestamp(db).await?.commit().await
    }

    /// Updates an existing row and rolls back.
    ///
    /// # Errors
    /// When the database does not accept writes.
    pub async fn check_writable_dry_run(db: &DatabaseConnection) -> Result<(), DbErr> {
        Self::update_timestamp(db).await?.rollback().await
    }

    /// Measures the time of a commit several times, by the write of [`Self::check_writable`].
    ///
    /// Returns no time if the database has no epoch yet: a commit without a change writes nothing.
    ///
    /// # Errors
    /// When the database does not accept writes.
    pub async fn measure_commits(
        db: &DatabaseConnection,
        count: usize,
    ) -> Result<Vec<Duration>, DbErr> {
        let mut durations = Vec::new();
        if Self::find_last(db).await?.is_none() {
            return Ok(durations);
        }
        for _ in 0..count {
            let transaction = Self::update_timestamp(db).await?;
            let begin = Instant::now();
            transaction.commit().await?;
            durations.push(begin.elapsed());
        }
        Ok(durations)
    }

    async fn update_timestamp(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        let transaction = begin_write(db).await?;
        let now: DateTimeWithTimeZone = Utc::now().into();
        Entity::update_many()
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .exec(&transaction)
            .await?;
        Ok(transaction)
    }

    /// Reads no rows from every table that the server needs, which proves that the tables exist.
    ///
    /// # Errors
    /// When a table is missing, or the database fails.
    pub async fn check_readable(db: &DatabaseConnection) -> Result<(), DbErr> {
        const TABLES: [&str; 9] = [
            "users",
            "chat_groups",
            "memberships",
            "events",
            "invites",
            "bans",
            "epochs",
            "reactions",
            "sessions",
        ];
        let tables = TABLES.map(|table| format!("(SELECT COUNT(*) FROM {table} WHERE 1 = 0)"));
        let sql = format!("SELECT {}", tables.join(" + "));
        db.query_one_raw(Statement::from_string(db.get_database_backend(), sql))
            .await?;
        Ok(())
    }

    async fn find_last(db: &DatabaseConnection) -> Result<Option<Self>, DbErr> {
        Entity::find().order_by_desc(Column::Id).one(db).await
    }
}
