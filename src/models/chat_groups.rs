//! Chat groups. What a user asks for is reached through the membership, see
//! [`Model::find_for_member`].

use std::collections::HashMap;

use chrono::Utc;
use loco_rs::prelude::*;
use rand::random;
use serde_json::json;

pub use super::_entities::chat_groups::{ActiveModel, Column, Entity, Model};
use super::{
    events::{self, Actor, Event, NewEvent, kind},
    invites,
    log::{LockedLogs, begin_write},
    memberships::{self, Role},
    reactions,
    rejections::{CommandError, Rejection},
    users,
};
use crate::{
    database::{DbErrorKind, classify},
    limits::Quotas,
};

/// With 2³² names a collision is rare; this many in a row mean that something else is wrong.
const MAX_NAME_ATTEMPTS: usize = 8;

/// Events that are deleted at once, of a group that is closed.
const PURGE_EVENT_BATCH: u64 = 1000;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Starts a group with a name of its own; whoever starts it is its owner.
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

    /// The same, for a user who is not a member of as many groups as one may be.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] for one who is.
    pub async fn create_within_quotas(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        quotas: Quotas,
    ) -> Result<(Self, memberships::Model), CommandError> {
        memberships::Model::check_quotas(db, owner.id, None, quotas).await?;
        Ok(Self::create_with_free_name(db, owner, title, random_name).await?)
    }

    /// [`Model::create`] with a given source of names.
    ///
    /// # Errors
    /// When the database fails, or the source gives taken names only.
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

    /// # Errors
    /// When the database fails.
    pub async fn find_by_name(db: &DatabaseConnection, name: &str) -> Result<Option<Self>, DbErr> {
        if !is_group_name(name) {
            return Ok(None);
        }
        let named = Entity::find().filter(Column::Name.eq(name));
        named.filter(Column::ClosedAt.is_null()).one(db).await
    }

    /// The group of this name with the user's membership, if there is one. A group that does not
    /// exist and one of strangers look the same.
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
        let found = Entity::find()
            .filter(Column::Name.eq(name))
            .find_also_related(memberships::Entity)
            .filter(memberships::Column::UserId.eq(user.id))
            .one(db)
            .await?;
        Ok(found.and_then(|(group, membership)| Some((group, membership?))))
    }

    /// How far the logs of these groups have gone, of those that are not closed.
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

    /// Gives the group another title, or none.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but admins and the owner.
    pub async fn set_title(
        self,
        db: &DatabaseConnection,
        actor: &users::Model,
        title: Option<String>,
    ) -> Result<(Self, Vec<Event>), CommandError> {
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [self.id].into()).await?;
        let own = memberships::Model::find_for_actor(&transaction, self.id, actor).await?;
        if own.role() < Role::Admin {
            return Err(Rejection::Forbidden.into());
        }
        let now = Entity::find_by_id(self.id).one(&transaction).await?;
        let now = now.ok_or(Rejection::NotFound)?;
        if now.title == title {
            return Ok((now, Vec::new()));
        }
        let data = json!({"title": title});
        let event = logs.append(NewEvent::by_actor(
            Actor::from_user(actor),
            self.id,
            kind::GROUP_UPDATED,
            &data,
        ));
        logs.flush(&transaction).await?;
        let mut row = now.into_active_model();
        row.title = Set(title);
        // As it is after the event was written: the head has moved on.
        let renamed = row.update(&transaction).await?;
        transaction.commit().await?;
        Ok((renamed, event.into_iter().collect()))
    }

    /// Closes the group for ever: nobody is a member any more, and nobody can become one. What was
    /// said in it is left to [`Model::purge_deleted`], since it may be much.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but the owner.
    pub async fn delete_by(
        &self,
        db: &DatabaseConnection,
        actor: &users::Model,
    ) -> Result<(), CommandError> {
        let transaction = begin_write(db).await?;
        LockedLogs::lock(&transaction, [self.id].into()).await?;
        let own = memberships::Model::find_for_actor(&transaction, self.id, actor).await?;
        if own.role() != Role::Owner {
            return Err(Rejection::Forbidden.into());
        }
        memberships::Entity::delete_many()
            .filter(memberships::Column::GroupId.eq(self.id))
            .exec(&transaction)
            .await?;
        invites::Entity::delete_many()
            .filter(invites::Column::GroupId.eq(self.id))
            .exec(&transaction)
            .await?;
        let closed = ActiveModel {
            id: sea_orm::ActiveValue::Unchanged(self.id),
            closed_at: Set(Some(Utc::now().into())),
            ..Default::default()
        };
        closed.update(&transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Deletes all groups that are closed, bit by bit, so that nobody waits for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_deleted(db: &DatabaseConnection) -> Result<(), DbErr> {
        let closed: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::ClosedAt.is_not_null())
            .into_tuple()
            .all(db)
            .await?;
        for id in closed {
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

/// Whether this is the form of a group's name: `chat_` and 8 lower-case hex digits.
pub(super) fn is_group_name(text: &str) -> bool {
    text.strip_prefix("chat_").is_some_and(|digits| {
        digits.len() == 8
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
