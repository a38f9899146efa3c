//! Bans: the users who may not return to a group. Commands change them, see [`super::group_commands`].

use chrono::Utc;
use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, Statement, sea_query::OnConflict};

pub use super::_entities::bans::{ActiveModel, Column, Entity, Model};

/// A ban as admins see it.
#[derive(Debug, FromQueryResult)]
pub struct BanRow {
    pub id: i64,
    pub username: String,
    pub name: String,
    pub banned_by: Option<String>,
    pub created_at: DateTimeWithTimeZone,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Bans a user. A second ban changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create(
        db: &impl ConnectionTrait,
        group_id: i64,
        user_id: i64,
        banned_by: i64,
    ) -> Result<(), DbErr> {
        let row = ActiveModel {
            group_id: Set(group_id),
            user_id: Set(user_id),
            banned_by: Set(banned_by),
            created_at: Set(Utc::now().into()),
            ..Default::default()
        };
        let ignore_duplicate = OnConflict::columns([Column::GroupId, Column::UserId])
            .do_nothing()
            .to_owned();
        Entity::insert(row)
            .on_conflict(ignore_duplicate)
            .exec_without_returning(db)
            .await?;
        Ok(())
    }

    /// Returns whether a user is banned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn exists(
        db: &impl ConnectionTrait,
        group_id: i64,
        user_id: i64,
    ) -> Result<bool, DbErr> {
        let row = Entity::find()
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .one(db)
            .await?;
        Ok(row.is_some())
    }

    /// Returns the bans of a group, the oldest first: at most `limit`, after the ban with the id `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        group_id: i64,
        after: i64,
        limit: u64,
    ) -> Result<Vec<BanRow>, DbErr> {
        BanRow::find_by_statement(Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT bans.id, users.username, users.name, banner.username AS banned_by, \
             bans.created_at AS created_at \
             FROM bans JOIN users ON users.id = bans.user_id \
             LEFT JOIN users banner ON banner.id = bans.banned_by \
             WHERE group_id = $1 AND bans.id > $2 ORDER BY bans.id LIMIT $3",
            [group_id.into(), after.into(), limit.into()],
        ))
        .all(db)
        .await
    }

    /// Ends the ban of a user. Returns whether the user was banned.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn lift(
        transaction: &DatabaseTransaction,
        group_id: i64,
        user_id: i64,
    ) -> Result<bool, DbErr> {
        let deleted = Entity::delete_many()
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .exec(transaction)
            .await?;
        Ok(deleted.rows_affected > 0)
    }
}
