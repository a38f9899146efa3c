//! Who belongs to which group, and as what.

use std::collections::HashMap;

use chrono::Utc;
use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, QuerySelect, Statement};
use serde_json::json;

pub use super::_entities::memberships::{ActiveModel, Column, Entity, Model};
use super::{
    bans,
    bulk_query::{InputColumn::Int, bulk_select},
    chat_groups,
    events::{Actor, Event, NewEvent, kind},
    invites,
    log::{LockedLogs, begin_write},
    rejections::{CommandError, Rejection},
    users,
};
use crate::limits::Quotas;

/// What [`Model::count_members`] finds.
#[derive(FromQueryResult)]
struct MemberCountRow {
    group_id: i64,
    members: i64,
    head: i64,
}

/// What a member may do; each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads, writes and leaves.
    Member,
    /// Invites, deletes messages, puts members out.
    Admin,
    /// Gives roles, and the group away. A group has one.
    Owner,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// What is stored as anything else may no more than a member.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            _ => Self::Member,
        }
    }
}

/// How somebody is put out of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalKind {
    /// May come back by an invite.
    Kick,
    /// May not.
    Ban,
}

/// A member as others see them.
#[derive(Debug, FromQueryResult)]
pub struct MemberRow {
    pub id: i64,
    pub username: String,
    pub name: String,
    pub role: String,
    /// `true` while the account is active.
    pub is_active: bool,
    pub created_at: DateTimeWithTimeZone,
}

/// A membership that has begun lately.
#[derive(Debug, FromQueryResult)]
pub struct RecentMembership {
    pub id: i64,
    pub username: String,
    /// The group's name.
    pub group: String,
}

const DEACTIVATED_ACCOUNT: &str = "This account is deactivated; it cannot be given a role.";
const TOO_MANY_GROUPS: &str =
    "You are a member of as many groups as one user may be; leave one first.";
const TOO_MANY_MEMBERS: &str = "This group has as many members as a group may have.";

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    #[must_use]
    pub fn role(&self) -> Role {
        Role::parse(&self.role)
    }

    /// Makes a user a member, who has read all that was there before.
    ///
    /// # Errors
    /// When the database fails, or the user is a member already.
    pub async fn create(
        db: &impl ConnectionTrait,
        group: &chat_groups::Model,
        user_id: i64,
        role: Role,
    ) -> Result<Self, DbErr> {
        ActiveModel {
            group_id: Set(group.id),
            user_id: Set(user_id),
            role: Set(role.as_str().to_owned()),
            created_at: Set(Utc::now().into()),
            read: Set(group.head),
            read_messages: Set(group.messages),
            ..Default::default()
        }
        .insert(db)
        .await
    }

    /// Refuses one more membership where the user, or the group, has as many as it may have.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`].
    pub async fn check_quotas(
        db: &impl ConnectionTrait,
        user_id: i64,
        group_id: Option<i64>,
        quotas: Quotas,
    ) -> Result<(), CommandError> {
        // The last that may be there: nothing is counted beyond it.
        let is_reached = async |column: Column, of: i64, most: u32| {
            let last = Entity::find()
                .select_only()
                .column(Column::Id)
                .filter(column.eq(of))
                .order_by_asc(Column::Id)
                .offset(u64::from(most.saturating_sub(1)))
                .limit(1);
            let last: Option<i64> = last.into_tuple().one(db).await?;
            Ok::<_, DbErr>(last.is_some())
        };
        if is_reached(Column::UserId, user_id, quotas.groups_per_user).await? {
            return Err(Rejection::LimitExceeded(TOO_MANY_GROUPS).into());
        }
        if let Some(group_id) = group_id
            && is_reached(Column::GroupId, group_id, quotas.members_per_group).await?
        {
            return Err(Rejection::LimitExceeded(TOO_MANY_MEMBERS).into());
        }
        Ok(())
    }

    /// # Errors
    /// When the database fails.
    pub async fn find(
        db: &impl ConnectionTrait,
        group_id: i64,
        user_id: i64,
    ) -> Result<Option<Self>, DbErr> {
        Entity::find()
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .one(db)
            .await
    }

    /// The members of a group in the order in which they came, at most `limit` of those after the
    /// membership with the id `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        group_id: i64,
        after: i64,
        limit: u64,
    ) -> Result<Vec<MemberRow>, DbErr> {
        MemberRow::find_by_statement(Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT memberships.id, username, name, role, is_active, \
             memberships.created_at AS created_at \
             FROM memberships JOIN users ON users.id = user_id \
             WHERE group_id = $1 AND memberships.id > $2 ORDER BY memberships.id LIMIT $3",
            [group_id.into(), after.into(), limit.into()],
        ))
        .all(db)
        .await
    }

    /// Returns how many members these groups have, of those that have any, and where their logs end then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_members(
        db: &DatabaseConnection,
        groups: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, (i64, i64)>, DbErr> {
        let counts: Vec<MemberCountRow> = bulk_select(
            db,
            &[Int("group_id")],
            groups.into_iter().map(|group| [group]),
            "SELECT chat_groups.id AS group_id, head, \
             (SELECT COUNT(*) FROM memberships WHERE memberships.group_id = chat_groups.id) AS members \
             FROM input JOIN chat_groups ON chat_groups.id = input.group_id",
        )
        .await?;
        let counts = counts
            .into_iter()
            .map(|row| (row.group_id, (row.members, row.head)));
        Ok(counts.collect())
    }

    /// The number of the membership that began last; 0 without any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_id(db: &DatabaseConnection) -> Result<i64, DbErr> {
        let last = Entity::find().order_by_desc(Column::Id).one(db).await?;
        Ok(last.map_or(0, |last| last.id))
    }

    /// The memberships that began after the one with this number, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_after(
        db: &DatabaseConnection,
        id: i64,
        limit: u64,
    ) -> Result<Vec<RecentMembership>, DbErr> {
        RecentMembership::find_by_statement(Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT memberships.id, username, chat_groups.name AS \"group\" FROM memberships \
             JOIN users ON users.id = user_id JOIN chat_groups ON chat_groups.id = group_id \
             WHERE memberships.id > $1 ORDER BY memberships.id LIMIT $2",
            [id.into(), limit.into()],
        ))
        .all(db)
        .await
    }

    /// Gives a member another role. Who is made owner takes the place of the one who was, and who
    /// is an admin from then on.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] to all but the owner, [`Rejection::NotFound`] where `username` is not a
    /// member, [`Rejection::Conflict`] where the owner would be left without a successor, and for a deactivated
    /// account.
    pub async fn set_role(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        actor: &users::Model,
        username: &str,
        role: Role,
    ) -> Result<(MemberRow, Vec<Event>), CommandError> {
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [group.id].into()).await?;
        let own = Self::find_for_actor(&transaction, group.id, actor).await?;
        if own.role() != Role::Owner {
            return Err(Rejection::Forbidden.into());
        }
        let (user, membership) = Self::find_with_user(&transaction, group.id, username).await?;
        if !user.is_active && role > Role::Member {
            return Err(Rejection::Conflict(DEACTIVATED_ACCOUNT).into());
        }
        let mut events = Vec::new();
        if membership.role() != role {
            if user.id == actor.id {
                return Err(Rejection::Conflict("Make somebody else the owner first.").into());
            }
            let mut changes = vec![(membership.clone(), &user, role)];
            if role == Role::Owner {
                changes.push((own, actor, Role::Admin));
            }
            for (membership, user, role) in changes {
                let mut row = membership.into_active_model();
                row.role = Set(role.as_str().to_owned());
                row.update(&transaction).await?;
                if role < Role::Admin {
                    invites::Model::revoke_all_by(&transaction, user.id, Some(group.id)).await?;
                }
                let data = json!({"user": user.username, "role": role.as_str()});
                let event =
                    NewEvent::by_actor(Actor::from_user(actor), group.id, kind::MEMBER_ROLE, &data);
                events.extend(logs.append(event));
            }
        }
        logs.flush(&transaction).await?;
        transaction.commit().await?;
        let listed = MemberRow {
            id: membership.id,
            username: user.username,
            name: user.name,
            role: role.as_str().to_owned(),
            is_active: user.is_active,
            created_at: membership.created_at,
        };
        Ok((listed, events))
    }

    /// Passes on the groups that a deactivated user owns: each to the active admin who has been a member for
    /// the longest time, else to such a member. The former owner stays a member. A group without another active
    /// member keeps its owner.
    ///
    /// Returns the groups, by name, with the events to announce. Each group has a transaction of its own, so that
    /// other writers do not wait for long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfer_owned_groups(
        db: &DatabaseConnection,
        user: &users::Model,
    ) -> Result<Vec<(String, Vec<Event>)>, DbErr> {
        let owned: Vec<(i64, String)> = Entity::find()
            .select_only()
            .column(Column::GroupId)
            .column(chat_groups::Column::Name)
            .inner_join(chat_groups::Entity)
            .filter(Column::UserId.eq(user.id))
            .filter(Column::Role.eq(Role::Owner.as_str()))
            .order_by_asc(Column::GroupId)
            .into_tuple()
            .all(db)
            .await?;
        let mut passed = Vec::new();
        for (group_id, name) in owned {
            let events = Self::transfer_group(db, user, group_id).await?;
            if !events.is_empty() {
                passed.push((name, events));
            }
        }
        Ok(passed)
    }

    /// Passes on groups to a user who becomes active again: those groups of the user whose owner is deactivated.
    /// Such a group had no other active member when its owner was deactivated.
    ///
    /// Returns the groups, by name, with the events to announce. An admin who is active goes before the user, as
    /// in [`Model::transfer_owned_groups`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_over_groups(
        db: &DatabaseConnection,
        user: &users::Model,
    ) -> Result<Vec<(String, Vec<Event>)>, DbErr> {
        let mut passed = Vec::new();
        let groups = Entity::find().filter(Column::UserId.eq(user.id)).all(db);
        for own in groups.await? {
            let owner = Entity::find()
                .filter(Column::GroupId.eq(own.group_id))
                .filter(Column::Role.eq(Role::Owner.as_str()))
                .find_also_related(users::Entity)
                .one(db)
                .await?;
            let Some((_, Some(owner))) = owner.filter(|(owner, _)| owner.user_id != user.id) else {
                continue;
            };
            let events = Self::transfer_group(db, &owner, own.group_id).await?;
            let group = chat_groups::Entity::find_by_id(own.group_id)
                .one(db)
                .await?;
            if let Some(group) = group.filter(|_| !events.is_empty()) {
                passed.push((group.name, events));
            }
        }
        Ok(passed)
    }

    async fn transfer_group(
        db: &DatabaseConnection,
        user: &users::Model,
        group_id: i64,
    ) -> Result<Vec<Event>, DbErr> {
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [group_id].into()).await?;
        let own = Self::find(&transaction, group_id, user.id).await?;
        // Both may have changed since they were listed.
        let is_active = users::Entity::find_by_id(user.id).one(&transaction).await?;
        let is_active = is_active.is_some_and(|user| user.is_active);
        let Some(own) = own.filter(|own| own.role() == Role::Owner && !is_active) else {
            return Ok(Vec::new());
        };
        let longest = async |role: Role| {
            Entity::find()
                .filter(Column::GroupId.eq(group_id))
                .filter(Column::Role.eq(role.as_str()))
                .find_also_related(users::Entity)
                .filter(users::Column::IsActive.eq(true))
                .order_by_asc(Column::Id)
                .limit(1)
                .one(&transaction)
                .await
        };
        let mut heir = longest(Role::Admin).await?;
        if heir.is_none() {
            heir = longest(Role::Member).await?;
        }
        let Some((membership, Some(heir))) = heir else {
            return Ok(Vec::new());
        };
        let mut events = Vec::new();
        let roles = [(membership, &heir, Role::Owner), (own, user, Role::Member)];
        for (membership, user, role) in roles {
            let mut row = membership.into_active_model();
            row.role = Set(role.as_str().to_owned());
            row.update(&transaction).await?;
            let data = json!({"user": user.username, "role": role.as_str()});
            events.extend(logs.append(NewEvent {
                group_id,
                kind: kind::MEMBER_ROLE,
                actor: None,
                cid: None,
                target: None,
                data: data.to_string(),
            }));
        }
        logs.flush(&transaction).await?;
        transaction.commit().await?;
        Ok(events)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// [`Rejection::Conflict`] to the owner, whose group would have none.
    pub async fn leave(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        user: &users::Model,
    ) -> Result<Vec<Event>, CommandError> {
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [group.id].into()).await?;
        let own = Self::find_for_actor(&transaction, group.id, user).await?;
        if own.role() == Role::Owner {
            return Err(Rejection::Conflict(
                "Make somebody else the owner first, or delete the group.",
            )
            .into());
        }
        own.delete(&transaction).await?;
        invites::Model::revoke_all_by(&transaction, user.id, Some(group.id)).await?;
        let data = json!({"user": user.username, "reason": "left"});
        let event = logs.append(NewEvent::by_actor(
            Actor::from_user(user),
            group.id,
            kind::MEMBER_LEFT,
            &data,
        ));
        logs.flush(&transaction).await?;
        transaction.commit().await?;
        Ok(event.into_iter().collect())
    }

    /// Puts a member of a lower role out. Who is banned need not be a member (any more).
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] where the other's role is not below the actor's,
    /// [`Rejection::NotFound`] where there is nobody to put out.
    pub async fn remove_member(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        actor: &users::Model,
        username: &str,
        exit: RemovalKind,
    ) -> Result<Vec<Event>, CommandError> {
        let transaction = begin_write(db).await?;
        let mut logs = LockedLogs::lock(&transaction, [group.id].into()).await?;
        let own = Self::find_for_actor(&transaction, group.id, actor).await?;
        if own.role() < Role::Admin {
            return Err(Rejection::Forbidden.into());
        }
        let user = users::Model::find_by_username(&transaction, username)
            .await?
            .ok_or(Rejection::NotFound)?;
        let membership = Self::find(&transaction, group.id, user.id).await?;
        match &membership {
            Some(membership) if membership.role() >= own.role() => {
                return Err(Rejection::Forbidden.into());
            }
            None if exit == RemovalKind::Kick => return Err(Rejection::NotFound.into()),
            _ => {}
        }
        if exit == RemovalKind::Ban {
            bans::Model::create(&transaction, group.id, user.id, actor.id).await?;
        }
        // An invite of their own would let them return at once.
        invites::Model::revoke_all_by(&transaction, user.id, Some(group.id)).await?;
        let mut event = None;
        if let Some(membership) = membership {
            membership.delete(&transaction).await?;
            let reason = match exit {
                RemovalKind::Kick => "kicked",
                RemovalKind::Ban => "banned",
            };
            let data = json!({"user": user.username, "reason": reason});
            let left =
                NewEvent::by_actor(Actor::from_user(actor), group.id, kind::MEMBER_LEFT, &data);
            event = logs.append(left);
        }
        logs.flush(&transaction).await?;
        transaction.commit().await?;
        Ok(event.into_iter().collect())
    }

    /// The membership of whoever acts, as it is now that nobody can change it.
    ///
    /// # Errors
    /// [`Rejection::NotMember`] where it has ended.
    pub async fn find_for_actor(
        transaction: &DatabaseTransaction,
        group_id: i64,
        actor: &users::Model,
    ) -> Result<Self, CommandError> {
        Ok(Self::find(transaction, group_id, actor.id)
            .await?
            .ok_or(Rejection::NotMember)?)
    }

    async fn find_with_user(
        transaction: &DatabaseTransaction,
        group_id: i64,
        username: &str,
    ) -> Result<(users::Model, Self), CommandError> {
        let user = users::Model::find_by_username(transaction, username)
            .await?
            .ok_or(Rejection::NotFound)?;
        let membership = Self::find(transaction, group_id, user.id)
            .await?
            .ok_or(Rejection::NotFound)?;
        Ok((user, membership))
    }
}
