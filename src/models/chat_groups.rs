//! Chat groups. A request of a user reaches a group through the membership, see [`Model::find_for_member`].

use std::collections::HashMap;

use chrono::Utc;
use loco_rs::prelude::*;
use rand::random;
use sea_orm::DatabaseTransaction;

pub use super::_entities::chat_groups::{ActiveModel, Column, Entity, Model};
use super::{
    events,
    log::begin_write,
    memberships::{self, Role},
    reactions,
    rejections::CommandError,
    users,
};
use crate::{
    database::{DbErrorKind, classify},
    limits::Quotas,
};

/// The number of random names that are tried. With 2³² names, so many collisions in a row have another cause.
const MAX_NAME_ATTEMPTS: usize = 8;

/// The number of events of a deleted group that one statement deletes.
const PURGE_EVENT_BATCH: u64 = 1000;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates a group with a random name and its owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
    ) -> Result<Self, DbErr> {
        Self::create_named(db, owner, title, random_name).await
    }

    /// Creates a group as [`Model::create`] does, if the user may be a member of one more group.
    ///
    /// # Errors
    /// [`super::rejections::Rejection::LimitExceeded`] when the user is a member of too many groups.
    pub async fn create_within_quotas(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        quotas: Quotas,
    ) -> Result<(Self, memberships::Model), CommandError> {
        memberships::Model::check_quotas(db, owner.id, None, quotas).await?;
        Ok(Self::create_with_free_name(db, owner, title, random_name).await?)
    }

    /// Creates a group as [`Model::create`] does, with the names of a given source.
    ///
    /// # Errors
    /// When the database fails, or all names of the source are taken.
    pub async fn create_named(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        next_name: impl FnMut() -> String,
    ) -> Result<Self, DbErr> {
        let (group, _) = Self::create_with_free_name(db, owner, title, next_name).await?;
        Ok(group)
    }

    async fn create_with_free_name(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        mut next_name: impl FnMut() -> String,
    ) -> Result<(Self, memberships::Model), DbErr> {
        let mut attempt = 1;
        loop {
            match Self::insert_with_owner(db, owner, title.clone(), next_name()).await {
                Err(error)
                    if attempt < MAX_NAME_ATTEMPTS
                        && classify(&error) == DbErrorKind::UniqueViolation =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Returns the group with this name, for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_name(db: &DatabaseConnection, name: &str) -> Result<Option<Self>, DbErr> {
        if !is_group_name(name) {
            return Ok(None);
        }
        let named = Entity::find().filter(Column::Name.eq(name));
        named.filter(Column::ClosedAt.is_null()).one(db).await
    }

    /// Returns the group with this name and the user's membership. `None` for a group that does not exist, and for a
    /// group without the user: the caller cannot distinguish the two.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_for_member(
        db: &DatabaseConnection,
        name: &str,
        user: &users::Model,
    ) -> Result<Option<(Self, memberships::Model)>, DbErr> {
        if !is_group_name(name) {
            return Ok(None);
        }
        let row = Entity::find()
            .filter(Column::Name.eq(name))
            .find_also_related(memberships::Entity)
            .filter(memberships::Column::UserId.eq(user.id))
            .one(db)
            .await?;
        Ok(row.and_then(|(group, membership)| Some((group, membership?))))
    }

    /// Returns the heads of the logs of these groups, without deleted groups.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_heads(
        db: &DatabaseConnection,
        ids: Vec<i64>,
    ) -> Result<HashMap<i64, i64>, DbErr> {
        let heads: Vec<(i64, i64)> = Entity::find()
            .select_only()
            .columns([Column::Id, Column::Head])
            .filter(Column::Id.is_in(ids))
            .filter(Column::ClosedAt.is_null())
            .into_tuple()
            .all(db)
            .await?;
        Ok(heads.into_iter().collect())
    }

    /// Marks a group as deleted. [`Model::purge_deleted`] deletes its events and its row.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn close(
        transaction: &DatabaseTransaction,
        group_id: i64,
    ) -> Result<(), DbErr> {
        let closed = ActiveModel {
            id: sea_orm::ActiveValue::Unchanged(group_id),
            closed_at: Set(Some(Utc::now().into())),
            ..Default::default()
        };
        closed.update(transaction).await?;
        Ok(())
    }

    /// Deletes the events and the rows of all deleted groups in small steps, so that writers do not wait for long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_deleted(db: &DatabaseConnection) -> Result<(), DbErr> {
        let deleted_ids: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::ClosedAt.is_not_null())
            .into_tuple()
            .all(db)
            .await?;
        for id in deleted_ids {
            reactions::Model::purge_group(db, id).await?;
            let mut reached = 0;
            loop {
                let last: Option<i64> = events::Entity::find()
                    .select_only()
                    .column(events::Column::Seq)
                    .filter(events::Column::GroupId.eq(id))
                    .order_by_asc(events::Column::Seq)
                    .offset(PURGE_EVENT_BATCH)
                    .limit(1)
                    .into_tuple()
                    .one(db)
                    .await?;
                let Some(last) = last.filter(|last| *last > reached) else {
                    break;
                };
                reached = last;
                events::Entity::delete_many()
                    .filter(events::Column::GroupId.eq(id))
                    .filter(events::Column::Seq.lt(last))
                    .exec(db)
                    .await?;
            }
            Entity::delete_by_id(id).exec(db).await?;
        }
        Ok(())
    }

    async fn insert_with_owner(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        name: String,
    ) -> Result<(Self, memberships::Model), DbErr> {
        let transaction = begin_write(db).await?;
        let group = ActiveModel {
            name: Set(name),
            title: Set(title),
            created_at: Set(Utc::now().into()),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        let membership =
            memberships::Model::create(&transaction, &group, owner.id, Role::Owner).await?;
        transaction.commit().await?;
        Ok((group, membership))
    }
}

fn random_name() -> String {
    format!("chat_{:08x}", random::<u32>())
}

/// Returns whether a text has the form of a group's name: `chat_` and 8 lower-case hex digits.
pub(super) fn is_group_name(text: &str) -> bool {
    text.strip_prefix("chat_").is_some_and(|digits| {
        digits.len() == 8
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
