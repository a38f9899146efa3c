//! Invites: codes that make whoever has them a member.

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use rand::random;
use sea_orm::{DatabaseTransaction, FromQueryResult, QuerySelect, Statement};
use serde_json::json;
use sha2::{Digest, Sha256};

pub use super::_entities::invites::{ActiveModel, Column, Entity, Model};
use super::{
    bans, chat_groups,
    events::{Actor, Event, NewEvent, kind},
    log::{LockedLogs, begin_write},
    memberships::{self, Role},
    rejections::{CommandError, Rejection},
    users,
};
use crate::{database::clock, limits::Quotas};

/// Expired invites that one statement deletes.
const DELETE_EXPIRED_BATCH: u64 = 500;

/// A code that nobody has seen before, and nobody will see again: the database has its hash.
pub struct InviteCode(String);

/// An invite as those who may withdraw it see it.
#[derive(Debug, FromQueryResult)]
pub struct InviteRow {
    pub id: i64,
    pub created_by: String,
    pub created_at: DateTimeWithTimeZone,
    pub expires_at: DateTimeWithTimeZone,
    pub max_uses: Option<i64>,
    pub uses: i64,
}

/// What somebody who has a code is shown before they accept.
#[derive(Debug, FromQueryResult)]
pub struct InvitePreview {
    pub title: Option<String>,
    pub username: String,
    pub name: String,
    pub expires_at: DateTimeWithTimeZone,
}

/// Where an accepted invite has led.
pub struct AcceptedInvite {
    pub group: chat_groups::Model,
    pub membership: memberships::Model,
    /// What is to be told. `None`: the user was a member already.
    pub event: Option<Event>,
}

impl InviteCode {
    /// 128 random bits, as 32 hex digits.
    fn new() -> Self {
        Self(format!("{:032x}", random::<u128>()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Invites to a group, for `expires_in` and for `max_uses` people, or any number of them.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but admins and the owner.
    pub async fn create(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        actor: &users::Model,
        expires_in: Duration,
        max_uses: Option<i64>,
    ) -> Result<(Self, InviteCode), CommandError> {
        let transaction = begin_write(db).await?;
        LockedLogs::lock(&transaction, [group.id].into()).await?;
        let own = memberships::Model::find_for_actor(&transaction, group.id, actor).await?;
        if own.role() < Role::Admin {
            return Err(Rejection::Forbidden.into());
        }
        let code = InviteCode::new();
        let now = clock::now(&transaction).await?;
        let invite = ActiveModel {
            group_id: Set(group.id),
            created_by: Set(actor.id),
            code_hash: Set(hash_code(code.as_str())),
            expires_at: Set((now + expires_in).into()),
            max_uses: Set(max_uses),
            created_at: Set(now.into()),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        transaction.commit().await?;
        Ok((invite, code))
    }

    /// The invites of a group that still let somebody in, the oldest first, at most `limit` of
    /// those after the invite with the id `after`.
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

    /// Withdraws an invite. The role of the actor is checked while the group is locked.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but admins and the owner, [`Rejection::NotFound`] where the group has no
    /// invite with this id.
    pub async fn revoke(
        db: &DatabaseConnection,
        group_id: i64,
        actor: &users::Model,
        id: i64,
    ) -> Result<(), CommandError> {
        let transaction = begin_write(db).await?;
        LockedLogs::lock(&transaction, [group_id].into()).await?;
        let own = memberships::Model::find_for_actor(&transaction, group_id, actor).await?;
        if own.role() < Role::Admin {
            return Err(Rejection::Forbidden.into());
        }
        let withdrawn = Entity::delete_many()
            .filter(Column::Id.eq(id))
            .filter(Column::GroupId.eq(group_id))
            .exec(&transaction)
            .await?;
        if withdrawn.rows_affected == 0 {
            return Err(Rejection::NotFound.into());
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Ends the invites that a user has made, to one group or to all groups: the right to invite ends with
    /// the role, the membership and the account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all_by(
        transaction: &DatabaseTransaction,
        user_id: i64,
        group_id: Option<i64>,
    ) -> Result<(), DbErr> {
        let mut ending = Entity::delete_many().filter(Column::CreatedBy.eq(user_id));
        if let Some(group_id) = group_id {
            ending = ending.filter(Column::GroupId.eq(group_id));
        }
        ending.exec(transaction).await?;
        Ok(())
    }

    /// What a code offers, if it still lets somebody in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_preview(
        db: &DatabaseConnection,
        code: &str,
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
            [hash_code(code).into()],
        ))
        .one(db)
        .await
    }

    /// The group to which a code leads a user: it lets somebody in, or they are a member already. One
    /// query, whatever the code is: how long it takes tells nobody whether there ever was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_group_for_code(
        db: &DatabaseConnection,
        code: &str,
        user: &users::Model,
    ) -> Result<Option<chat_groups::Model>, DbErr> {
        let sql = format!(
            "SELECT chat_groups.* FROM invites JOIN chat_groups ON chat_groups.id = group_id \
             WHERE code_hash = $1 AND ({} OR EXISTS \
             (SELECT 1 FROM memberships WHERE group_id = chat_groups.id AND user_id = $2))",
            usable_condition(db)
        );
        let found = Statement::from_sql_and_values(
            db.get_database_backend(),
            sql,
            [hash_code(code).into(), user.id.into()],
        );
        chat_groups::Entity::find()
            .from_raw_sql(found)
            .one(db)
            .await
    }

    /// Makes a user a member by a code. Who is one already stays what they are, and costs the
    /// invite nothing.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for a code that lets nobody in (any more), [`Rejection::Banned`] for a
    /// user who was banned, [`Rejection::LimitExceeded`] where the user or the group has as many memberships as it
    /// may have.
    pub async fn accept(
        db: &DatabaseConnection,
        code: &str,
        user: &users::Model,
        quotas: Quotas,
    ) -> Result<AcceptedInvite, CommandError> {
        let led = Self::find_group_for_code(db, code, user).await?;
        let group_id = led.ok_or(Rejection::NotFound)?.id;
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [group_id].into()).await?;
        // Now that all others wait who would use it or change the group.
        let (invite, group) = Entity::find()
            .filter(Column::CodeHash.eq(hash_code(code)))
            .find_also_related(chat_groups::Entity)
            .one(&transaction)
            .await?
            .ok_or(Rejection::NotFound)?;
        let mut group = group.ok_or(Rejection::NotFound)?;
        if let Some(membership) = memberships::Model::find(&transaction, group_id, user.id).await? {
            return Ok(AcceptedInvite {
                group,
                membership,
                event: None,
            });
        }
        if !invite.is_usable(clock::now(&transaction).await?) {
            return Err(Rejection::NotFound.into());
        }
        if bans::Model::exists(&transaction, group_id, user.id).await? {
            return Err(Rejection::Banned.into());
        }
        memberships::Model::check_quotas(&transaction, user.id, Some(group_id), quotas).await?;
        let uses = invite.uses + 1;
        let mut invite = invite.into_active_model();
        invite.uses = Set(uses);
        invite.update(&transaction).await?;
        let data = json!({
            "user": user.username, "name": user.name, "role": Role::Member.as_str(),
        });
        let joined =
            NewEvent::by_actor(Actor::from_user(user), group_id, kind::MEMBER_JOINED, &data);
        let event = logs.append(joined).ok_or(Rejection::NotFound)?;
        group.head = event.seq;
        let membership =
            memberships::Model::create(&transaction, &group, user.id, Role::Member).await?;
        logs.flush(&transaction).await?;
        transaction.commit().await?;
        Ok(AcceptedInvite {
            group,
            membership,
            event: Some(event),
        })
    }

    /// Deletes the invites that expired more than a day ago, some hundreds in each statement, so that writers do
    /// not wait for long. The day is for a clock that is set wrong for a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(db: &DatabaseConnection) -> Result<(), DbErr> {
        let before = clock::now(db).await? - Duration::days(1);
        let expired = || Entity::find().filter(Column::ExpiresAt.lt(before));
        loop {
            let ids: Vec<i64> = expired()
                .select_only()
                .column(Column::Id)
                .limit(DELETE_EXPIRED_BATCH)
                .into_tuple()
                .all(db)
                .await?;
            if ids.is_empty() {
                return Ok(());
            }
            Entity::delete_many()
                .filter(Column::Id.is_in(ids))
                .exec(db)
                .await?;
        }
    }

    fn is_usable(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > now && self.max_uses.is_none_or(|max| self.uses < max)
    }
}

/// Returns the SQL condition that an invite still admits somebody.
fn usable_condition(db: &DatabaseConnection) -> String {
    let now = clock::now_sql(db.get_database_backend());
    format!("(expires_at > {now} AND (max_uses IS NULL OR uses < max_uses))")
}

/// A code is random enough that a plain hash keeps it.
fn hash_code(code: &str) -> String {
    Sha256::digest(code.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
