//! Who may not come back into which group.

use chrono::Utc;
use loco_rs::prelude::*;
use sea_orm::{FromQueryResult, Statement, sea_query::OnConflict};

pub use super::_entities::bans::{ActiveModel, Column, Entity, Model};
use super::{
    chat_groups,
    log::{LockedLogs, begin_write},
    memberships::{self, Role},
    rejections::{CommandError, Rejection},
    users,
};

/// A ban as those who may lift it see it.
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
    /// Bans a user; who is banned already stays so.
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
        let once = OnConflict::columns([Column::GroupId, Column::UserId])
            .do_nothing()
            .to_owned();
        Entity::insert(row)
            .on_conflict(once)
            .exec_without_returning(db)
            .await?;
        Ok(())
    }

    /// # Errors
    /// When the database fails.
    pub async fn exists(
        db: &impl ConnectionTrait,
        group_id: i64,
        user_id: i64,
    ) -> Result<bool, DbErr> {
        let found = Entity::find()
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .one(db)
            .await?;
        Ok(found.is_some())
    }

    /// The bans of a group, the oldest first, at most `limit` of those after the ban with the id
    /// `after`.
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

    /// Lets somebody come back, by an invite.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but admins and the owner, [`Rejection::NotFound`] where nobody
    /// of this name is banned.
    pub async fn unban(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        actor: &users::Model,
        username: &str,
    ) -> Result<(), CommandError> {
        let transaction = begin_write(db).await?;
        LockedLogs::lock(&transaction, [group.id].into()).await?;
        let own = memberships::Model::find_for_actor(&transaction, group.id, actor).await?;
        if own.role() < Role::Admin {
            return Err(Rejection::Forbidden.into());
        }
        let user = users::Model::find_by_username(&transaction, username)
            .await?
            .ok_or(Rejection::NotFound)?;
        let lifted = Entity::delete_many()
            .filter(Column::GroupId.eq(group.id))
            .filter(Column::UserId.eq(user.id))
            .exec(&transaction)
            .await?;
        if lifted.rows_affected == 0 {
            return Err(Rejection::NotFound.into());
        }
        transaction.commit().await?;
        Ok(())
    }
}
