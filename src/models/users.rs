//! Accounts.

use loco_rs::prelude::*;
use sea_orm::{SqlErr, sea_query::Expr};
use uuid::Uuid;

pub use super::_entities::users::{ActiveModel, Column, Entity, Model};
use super::{
    events::Author,
    log::begin,
    passwords::{Password, PasswordError},
    sessions,
    skeletons::Look,
    usernames::{self, Username},
};

/// An account that may be created: every field has been checked.
pub struct NewUser {
    pub name: String,
    pub username: Username,
    pub password: Password,
}

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("the username is already used")]
    UsernameTaken,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates an account. The database's unique indexes decide who gets a username.
    ///
    /// # Errors
    /// [`UserError::UsernameTaken`], also where the other differs in letter case alone, or looks the
    /// same.
    pub async fn register(db: &DatabaseConnection, user: NewUser) -> Result<Self, UserError> {
        let username_key = user.username.key();
        let look = Look::of(&user.username);
        // Asked first to save the hashing; the indexes have the last word.
        if Self::find_by_key(db, &username_key).await?.is_some() || look.is_taken(db).await? {
            return Err(UserError::UsernameTaken);
        }
        let password_hash = user.password.hash().await?;
        let row = ActiveModel {
            username: Set(user.username.as_str().to_owned()),
            username_key: Set(username_key),
            name: Set(user.name),
            password_hash: Set(password_hash),
            ..Default::default()
        };
        let transaction = begin(db).await?;
        if !look.take(&transaction).await? {
            return Err(UserError::UsernameTaken);
        }
        let inserted = row.insert(&transaction).await;
        let inserted = inserted.map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => UserError::UsernameTaken,
            _ => error.into(),
        })?;
        transaction.commit().await?;
        Ok(inserted)
    }

    /// The active user with this username and password, if there is one. It takes the same time
    /// for an unknown user, a wrong password and an inactive account.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn authenticate(
        db: &DatabaseConnection,
        username: &str,
        password: &str,
    ) -> Result<Option<Self>, UserError> {
        let user = Self::find_by_key(db, &usernames::key(username)).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = Password::given(password).matches(hash).await?;
        Ok(user.filter(|user| matches && user.is_active))
    }

    /// Gives the user another password, if the old one is right, and ends all sessions but this.
    /// Says whether it was.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn change_password(
        &self,
        db: &DatabaseConnection,
        old: &str,
        new: Password,
        session: Uuid,
    ) -> Result<bool, UserError> {
        let hash = Some(self.password_hash.clone());
        if !Password::given(old).matches(hash).await? {
            return Ok(false);
        }
        let new = new.hash().await?;
        let changed = ActiveModel {
            password_hash: Set(new),
            ..Default::default()
        };
        // Unless it was changed meanwhile: then the old one is right no more.
        let unchanged = Column::PasswordHash.eq(&self.password_hash);
        Ok(self.change(db, changed, unchanged, Some(session)).await?)
    }

    /// Gives the user another password, whatever the old one was, and ends all sessions.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn reset_password(
        &self,
        db: &DatabaseConnection,
        new: Password,
    ) -> Result<(), UserError> {
        let changed = ActiveModel {
            password_hash: Set(new.hash().await?),
            ..Default::default()
        };
        self.change(db, changed, Column::Id.eq(self.id), None)
            .await?;
        Ok(())
    }

    /// Lets the user log in, or not any more. All sessions end, unless it was so before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_active(&self, db: &DatabaseConnection, is_active: bool) -> Result<(), DbErr> {
        let changed = ActiveModel {
            is_active: Set(is_active),
            ..Default::default()
        };
        self.change(db, changed, Column::IsActive.ne(is_active), None)
            .await?;
        Ok(())
    }

    /// Changes the user, where a condition holds, and ends all sessions but one, or none. Says whether
    /// it held.
    async fn change(
        &self,
        db: &DatabaseConnection,
        changed: ActiveModel,
        condition: Expr,
        but: Option<Uuid>,
    ) -> Result<bool, DbErr> {
        let transaction = begin(db).await?;
        let updated = Entity::update_many()
            .set(changed)
            .filter(Column::Id.eq(self.id))
            .filter(condition)
            .exec(&transaction)
            .await?;
        if updated.rows_affected == 0 {
            return Ok(false);
        }
        sessions::Model::end_all(&transaction, self.id, but).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// # Errors
    /// When the database fails.
    pub async fn find_active(db: &DatabaseConnection, id: i64) -> Result<Option<Self>, DbErr> {
        Ok(Entity::find_by_id(id)
            .one(db)
            .await?
            .filter(|user| user.is_active))
    }

    /// Whether this is the user's name, in whatever letter case.
    #[must_use]
    pub fn is_named(&self, username: &str) -> bool {
        self.username_key == usernames::key(username)
    }

    /// The user of this name, in whatever letter case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_username(
        db: &impl ConnectionTrait,
        username: &str,
    ) -> Result<Option<Self>, DbErr> {
        Self::find_by_key(db, &usernames::key(username)).await
    }

    async fn find_by_key(db: &impl ConnectionTrait, key: &str) -> Result<Option<Self>, DbErr> {
        // PostgreSQL cannot store a NUL, and says so with an error instead of finding nothing.
        if key.contains('\0') {
            return Ok(None);
        }
        Entity::find()
            .filter(Column::UsernameKey.eq(key))
            .one(db)
            .await
    }
}

impl Author {
    #[must_use]
    pub fn of(user: &Model) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str().into(),
        }
    }
}
