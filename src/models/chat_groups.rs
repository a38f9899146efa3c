//! Chat groups. What a user asks for is reached through the membership, see
//! [`Model::find_for_member`].

use loco_rs::prelude::*;
use rand::random;
use sea_orm::SqlErr;

pub use super::_entities::chat_groups::{ActiveModel, Column, Entity, Model};
use super::{
    memberships::{self, Role},
    users,
};

/// With 2³² names a collision is rare; this many in a row mean that something else is wrong.
const NAME_ATTEMPTS: usize = 8;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Starts a group with a name of its own; whoever starts it is its owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
    ) -> Result<Self, DbErr> {
        Self::start_named(db, owner, title, random_name).await
    }

    /// [`Model::start`] with a given source of names.
    ///
    /// # Errors
    /// When the database fails, or the source gives taken names only.
    pub async fn start_named(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        mut next_name: impl FnMut() -> String,
    ) -> Result<Self, DbErr> {
        let mut attempt = 1;
        loop {
            match Self::insert_with_owner(db, owner, title.clone(), next_name()).await {
                Err(error) if attempt < NAME_ATTEMPTS && is_taken(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    /// # Errors
    /// When the database fails.
    pub async fn find_by_name(db: &DatabaseConnection, name: &str) -> Result<Option<Self>, DbErr> {
        if !is_name(name) {
            return Ok(None);
        }
        Entity::find().filter(Column::Name.eq(name)).one(db).await
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
        if !is_name(name) {
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

    async fn insert_with_owner(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        name: String,
    ) -> Result<Self, DbErr> {
        let transaction = db.begin().await?;
        let group = ActiveModel {
            name: Set(name),
            title: Set(title),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        memberships::Model::create(&transaction, group.id, owner.id, Role::Owner).await?;
        transaction.commit().await?;
        Ok(group)
    }
}

fn random_name() -> String {
    format!("chat_{:08x}", random::<u32>())
}

/// Whether this is the form of a group's name: `chat_` and 8 lower-case hex digits.
fn is_name(text: &str) -> bool {
    text.strip_prefix("chat_").is_some_and(|digits| {
        digits.len() == 8
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_taken(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
