//! Memberships: the users of groups, with their roles. Commands change them, see [`super::group_commands`].

use std::{borrow::Cow, collections::HashMap};

use chrono::Utc;
use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, QuerySelect, Statement};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::_entities::memberships::{ActiveModel, Column, Entity, Model};
use super::{
    bulk_query::{InputColumn::Int, bulk_select},
    chat_groups,
    events::Event,
    group_commands::{CommandKind, GroupCommand},
    rejections::{CommandError, Rejection},
    users,
};
use crate::limits::Quotas;

/// A row of [`Model::count_members`].
#[derive(FromQueryResult)]
struct MemberCountRow {
    group_id: i64,
    members: i64,
    head: i64,
}

/// The role of a member. Each role has the rights of the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads, sends and leaves.
    Member,
    /// Invites users, deletes messages, removes members.
    Admin,
    /// Gives roles, passes the group on or deletes it. A group has one owner.
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

    /// Parses a role. Any other text is a member: the role with the fewest rights.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            _ => Self::Member,
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Ok(Self::parse(&text))
    }
}

/// A member as others see them.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct MemberRow {
    pub id: i64,
    pub username: String,
    pub name: String,
    pub role: String,
    /// `true` while the account is active.
    pub is_active: bool,
    pub created_at: DateTimeWithTimeZone,
}

/// A membership that began recently.
#[derive(Debug, FromQueryResult)]
pub struct RecentMembership {
    pub id: i64,
    pub username: String,
    /// The group's name.
    pub group: String,
}

const TOO_MANY_GROUPS: &str =
    "You are a member of as many groups as one user may be; leave one first.";
const TOO_MANY_MEMBERS: &str = "This group has as many members as a group may have.";

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    #[must_use]
    pub fn role(&self) -> Role {
        Role::parse(&self.role)
    }

    /// Makes a user a member. The user counts as having read all earlier events.
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

    /// Checks that a user, and a group if there is one, may have one more membership.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`].
    pub async fn check_quotas(
        db: &impl ConnectionTrait,
        user_id: i64,
        group_id: Option<i64>,
        quotas: Quotas,
    ) -> Result<(), CommandError> {
        // The query looks for the last allowed membership, and counts none beyond it.
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

    /// Returns the membership of a user in a group.
    ///
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

    /// Returns the members of a group in the order in which they joined: at most `limit`, after the membership with
    /// the id `after`.
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

    /// Returns the number of members of these groups, with the heads of their logs at that time.
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

    /// Returns the id of the newest membership. 0: there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_id(db: &DatabaseConnection) -> Result<i64, DbErr> {
        let last = Entity::find().order_by_desc(Column::Id).one(db).await?;
        Ok(last.map_or(0, |last| last.id))
    }

    /// Returns the memberships after the one with this id, at most `limit`.
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

    /// Stores the role of a member.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn update_role(
        transaction: &DatabaseTransaction,
        group_id: i64,
        user_id: i64,
        role: Role,
    ) -> Result<(), DbErr> {
        let row = ActiveModel {
            role: Set(role.as_str().to_owned()),
            ..Default::default()
        };
        Entity::update_many()
            .set(row)
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .exec(transaction)
            .await?;
        Ok(())
    }

    /// Deletes the membership of a user.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn remove(
        transaction: &DatabaseTransaction,
        group_id: i64,
        user_id: i64,
    ) -> Result<(), DbErr> {
        Entity::delete_many()
            .filter(Column::GroupId.eq(group_id))
            .filter(Column::UserId.eq(user_id))
            .exec(transaction)
            .await?;
        Ok(())
    }

    /// Deletes all memberships of a group.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn remove_all(
        transaction: &DatabaseTransaction,
        group_id: i64,
    ) -> Result<(), DbErr> {
        Entity::delete_many()
            .filter(Column::GroupId.eq(group_id))
            .exec(transaction)
            .await?;
        Ok(())
    }

    /// Passes on the groups that a deactivated user owns, by [`CommandKind::TransferOwnership`].
    ///
    /// Returns the groups with a new owner, by name, with the events to publish. Each group has a transaction of its
    /// own, so that other writers do not wait for long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfer_owned_groups(
        db: &DatabaseConnection,
        user: &users::Model,
    ) -> Result<Vec<(String, Vec<Event>)>, CommandError> {
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
        let mut transferred = Vec::new();
        for (group_id, name) in owned {
            let events = transfer_ownership(db, group_id, user.id).await?;
            if !events.is_empty() {
                transferred.push((name, events));
            }
        }
        Ok(transferred)
    }

    /// Passes on the groups of a reactivated user that have a deactivated owner.
    ///
    /// Such a group had no other active member when its owner was deactivated. An active admin goes before the user.
    ///
    /// Returns the groups with a new owner, by name, with the events to publish.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_over_groups(
        db: &DatabaseConnection,
        user: &users::Model,
    ) -> Result<Vec<(String, Vec<Event>)>, CommandError> {
        let mut transferred = Vec::new();
        let groups = Entity::find().filter(Column::UserId.eq(user.id)).all(db);
        for own in groups.await? {
            let owner = Entity::find()
                .filter(Column::GroupId.eq(own.group_id))
                .filter(Column::Role.eq(Role::Owner.as_str()))
                .one(db)
                .await?;
            let Some(owner) = owner.filter(|owner| owner.user_id != user.id) else {
                continue;
            };
            let events = transfer_ownership(db, own.group_id, owner.user_id).await?;
            let group = chat_groups::Entity::find_by_id(own.group_id)
                .one(db)
                .await?;
            if let Some(group) = group.filter(|_| !events.is_empty()) {
                transferred.push((group.name, events));
            }
        }
        Ok(transferred)
    }
}

/// Passes one group on from a deactivated owner. Returns the events; none if the owner stays.
async fn transfer_ownership(
    db: &DatabaseConnection,
    group_id: i64,
    owner_id: i64,
) -> Result<Vec<Event>, CommandError> {
    let command = GroupCommand {
        group_id,
        actor: None,
        cid: None,
        kind: CommandKind::TransferOwnership { owner_id },
    };
    match command.apply_single(db).await {
        Ok(applied) => Ok(applied.events),
        // The group was deleted since it was read.
        Err(CommandError::Rejected(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
