//! Invites: codes by which users become members. Commands change them, see [`super::group_commands`].

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use rand::random;
use sea_orm::{DatabaseTransaction, FromQueryResult, Statement, sea_query::Expr};
use sha2::{Digest, Sha256};

pub use super::_entities::invites::{ActiveModel, Column, Entity, Model};
use super::{bulk_query::delete_in_steps, chat_groups, users};
use crate::database::clock;

/// The code of an invite, as a client sends it or as it was created. The database has only its hash, so a new code
/// is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(String);

/// Hides the code: logs must not have it.
impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

/// An invite as admins see it.
#[derive(Debug, FromQueryResult)]
pub struct InviteRow {
    pub id: i64,
    pub created_by: String,
    pub created_at: DateTimeWithTimeZone,
    pub expires_at: DateTimeWithTimeZone,
    pub max_uses: Option<i64>,
    pub uses: i64,
}

/// The data that a user with a code sees before accepting.
#[derive(Debug, FromQueryResult)]
pub struct InvitePreview {
    pub title: Option<String>,
    pub username: String,
    pub name: String,
    pub expires_at: DateTimeWithTimeZone,
}

impl InviteCode {
    /// Returns a new code: 128 random bits as 32 hex digits.
    fn new() -> Self {
        Self(format!("{:032x}", random::<u128>()))
    }

    /// Returns the code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the stored hash of the code. A plain hash is enough, because the code has 128 random bits.
    fn hash(&self) -> String {
        Sha256::digest(self.0.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl From<String> for InviteCode {
    fn from(code: String) -> Self {
        Self(code)
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates an invite of a user to a group, for `max_uses` users or for any number of users.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn create(
        transaction: &DatabaseTransaction,
        (group_id, created_by): (i64, i64),
        (created_at, expires_at): (DateTime<Utc>, DateTime<Utc>),
        max_uses: Option<i64>,
    ) -> Result<(Self, InviteCode), DbErr> {
        let code = InviteCode::new();
        let invite = ActiveModel {
            group_id: Set(group_id),
            created_by: Set(created_by),
            code_hash: Set(code.hash()),
            expires_at: Set(expires_at.into()),
            max_uses: Set(max_uses),
            created_at: Set(created_at.into()),
            ..Default::default()
        };
        Ok((invite.insert(transaction).await?, code))
    }

    /// Returns the usable invites of a group, the oldest first: at most `limit`, after the invite with the id `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        group_id: i64,
        after: i64,
        limit: u64,
    ) -> Result<Vec<InviteRow>, DbErr> {
        let sql = format!(
            "SELECT invites.id, username AS created_by, invites.created_at AS created_at, \
             expires_at, max_uses, uses \
             FROM invites JOIN users ON users.id = invites.created_by \
             WHERE group_id = $1 AND invites.id > $2 AND {} ORDER BY invites.id LIMIT $3",
            usable_condition(db)
        );
        InviteRow::find_by_statement(Statement::from_sql_and_values(
            db.get_database_backend(),
            sql,
            [group_id.into(), after.into(), limit.into()],
        ))
        .all(db)
        .await
    }

    /// Deletes an invite of a group. Returns whether the group had the invite.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn revoke(
        transaction: &DatabaseTransaction,
        group_id: i64,
        id: i64,
    ) -> Result<bool, DbErr> {
        let deleted = Entity::delete_many()
            .filter(Column::Id.eq(id))
            .filter(Column::GroupId.eq(group_id))
            .exec(transaction)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Deletes all invites to a group.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn revoke_all_of_group(
        transaction: &DatabaseTransaction,
        group_id: i64,
    ) -> Result<(), DbErr> {
        Entity::delete_many()
            .filter(Column::GroupId.eq(group_id))
            .exec(transaction)
            .await?;
        Ok(())
    }

    /// Deletes the invites of a user, to one group or to all groups. The right to invite ends with the role, the
    /// membership and the account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all_by(
        transaction: &DatabaseTransaction,
        user_id: i64,
        group_id: Option<i64>,
    ) -> Result<(), DbErr> {
        let mut deletion = Entity::delete_many().filter(Column::CreatedBy.eq(user_id));
        if let Some(group_id) = group_id {
            deletion = deletion.filter(Column::GroupId.eq(group_id));
        }
        deletion.exec(transaction).await?;
        Ok(())
    }

    /// Returns the preview of a usable invite.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_preview(
        db: &DatabaseConnection,
        code: &InviteCode,
    ) -> Result<Option<InvitePreview>, DbErr> {
        let sql = format!(
            "SELECT title, username, users.name, expires_at \
             FROM invites JOIN chat_groups ON chat_groups.id = group_id \
             JOIN users ON users.id = created_by WHERE code_hash = $1 AND {}",
            usable_condition(db)
        );
        InvitePreview::find_by_statement(Statement::from_sql_and_values(
            db.get_database_backend(),
            sql,
            [code.hash().into()],
        ))
        .one(db)
        .await
    }

    /// Returns the group of a code, if the invite is usable or the user is a member already.
    ///
    /// Every code costs one query, so that the time does not reveal whether a code ever existed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_group_for_code(
        db: &DatabaseConnection,
        code: &InviteCode,
        user: &users::Model,
    ) -> Result<Option<chat_groups::Model>, DbErr> {
        let sql = format!(
            "SELECT chat_groups.* FROM invites JOIN chat_groups ON chat_groups.id = group_id \
             WHERE code_hash = $1 AND ({} OR EXISTS \
             (SELECT 1 FROM memberships WHERE group_id = chat_groups.id AND user_id = $2))",
            usable_condition(db)
        );
        let query = Statement::from_sql_and_values(
            db.get_database_backend(),
            sql,
            [code.hash().into(), user.id.into()],
        );
        chat_groups::Entity::find()
            .from_raw_sql(query)
            .one(db)
            .await
    }

    /// Returns the invite of a code with its group, if the invite is for this group.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn find_with_group(
        transaction: &DatabaseTransaction,
        group_id: i64,
        code: &InviteCode,
    ) -> Result<Option<(Self, chat_groups::Model)>, DbErr> {
        let row = Entity::find()
            .filter(Column::CodeHash.eq(code.hash()))
            .filter(Column::GroupId.eq(group_id))
            .find_also_related(chat_groups::Entity)
            .one(transaction)
            .await?;
        Ok(row.and_then(|(invite, group)| Some((invite, group?))))
    }

    /// Counts one more use of the invite. Returns `false` if the invite was deleted after it was read: the
    /// deactivation of its creator does not wait for the group.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn count_use(&self, transaction: &DatabaseTransaction) -> Result<bool, DbErr> {
        let counted = Entity::update_many()
            .col_expr(Column::Uses, Expr::value(self.uses + 1))
            .filter(Column::Id.eq(self.id))
            .exec(transaction)
            .await?;
        Ok(counted.rows_affected > 0)
    }

    /// Deletes the invites that expired more than a day ago, in steps, see [`delete_in_steps`].
    ///
    /// The day protects invites while a clock is wrong for a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(db: &DatabaseConnection) -> Result<(), DbErr> {
        let before = clock::now(db).await? - Duration::days(1);
        delete_in_steps::<Entity>(db, Column::Id, Column::ExpiresAt.lt(before)).await
    }

    /// Returns whether the invite admits a user at this time.
    pub(super) fn is_usable(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > now && self.max_uses.is_none_or(|max| self.uses < max)
    }
}

/// Returns the SQL condition of a usable invite.
fn usable_condition(db: &DatabaseConnection) -> String {
    let now = clock::now_sql(db.get_database_backend());
    format!("(expires_at > {now} AND (max_uses IS NULL OR uses < max_uses))")
}
