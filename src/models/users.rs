//! Accounts.

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, QuerySelect, SqlErr, sea_query::Expr};
use uuid::Uuid;

pub use super::_entities::users::{ActiveModel, Column, Entity, Model};
use super::{
    events::Actor,
    hashing::Requester,
    invites,
    log::begin_write,
    passwords::{Password, PasswordError},
    sessions::{self, ActiveSession, RefreshId},
    skeletons::ConfusableKey,
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
    #[error("the password is among the most common ones")]
    CommonPassword,
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates an account. The unique indexes of the database decide between two registrations of one
    /// username. The password is judged after all cheap checks.
    ///
    /// # Errors
    /// [`UserError::UsernameTaken`], also where the other username differs in letter case alone, or looks
    /// the same; [`UserError::CommonPassword`].
    pub async fn register(
        db: &DatabaseConnection,
        user: NewUser,
        requester: Requester,
    ) -> Result<Self, UserError> {
        let username_key = user.username.key();
        let look = ConfusableKey::from_username(&user.username);
        // This check saves the hashing. The indexes decide.
        if Self::find_by_username_key(db, &username_key)
            .await?
            .is_some()
            || look.is_reserved_by_other(db).await?
        {
            return Err(UserError::UsernameTaken);
        }
        let about = vec![user.name.clone(), user.username.as_str().to_owned()];
        if user.password.is_common(requester, about).await? {
            return Err(UserError::CommonPassword);
        }
        let password_hash = user.password.hash(requester).await?;
        let row = ActiveModel {
            username: Set(user.username.as_str().to_owned()),
            username_key: Set(username_key),
            name: Set(user.name),
            password_hash: Set(password_hash),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        if !look.reserve(&transaction).await? {
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

    /// Returns the active user with this username and password. The call takes the same time for an
    /// unknown user, a wrong password and an inactive account.
    ///
    /// A user whose username is no longer valid, and was replaced, may still log in by the former one.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn authenticate(
        db: &DatabaseConnection,
        username: &str,
        password: &str,
        requester: Requester,
    ) -> Result<Option<Self>, UserError> {
        let mut user = Self::find_by_username_key(db, &usernames::username_key(username)).await?;
        if let (None, Some(former)) = (&user, Username::parse_former(username)) {
            user = Self::find_by_former_username(db, &former).await?;
        }
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = Password::from_input(password)
            .matches(requester, hash)
            .await?;
        Ok(user.filter(|user| matches && user.is_active))
    }

    /// Replaces the password and ends all other sessions. Every token of this session that was issued
    /// before is invalid from then on: `refresh` is the id of its next refresh token.
    ///
    /// The new password is judged after the current one was found right.
    ///
    /// Returns the session, from which new tokens are issued.
    ///
    /// # Errors
    /// [`UserError::WrongPassword`], [`UserError::CommonPassword`], and when the database or the hashing
    /// fails.
    pub async fn change_password(
        &self,
        db: &DatabaseConnection,
        current: &str,
        new: Password,
        session: Uuid,
        refresh: RefreshId,
        requester: Requester,
    ) -> Result<ActiveSession, UserError> {
        let hash = Some(self.password_hash.clone());
        if !Password::from_input(current)
            .matches(requester, hash)
            .await?
        {
            return Err(UserError::WrongPassword);
        }
        let about = vec![self.name.clone(), self.username.clone()];
        if new.is_common(requester, about).await? {
            return Err(UserError::CommonPassword);
        }
        let changed = ActiveModel {
            password_hash: Set(new.hash(requester).await?),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        // A password that was changed meanwhile is no longer the current one.
        let unchanged = Column::PasswordHash.eq(&self.password_hash);
        if !self
            .update_and_revoke_sessions(&transaction, changed, unchanged, Some(session))
            .await?
        {
            return Err(UserError::WrongPassword);
        }
        let renewed =
            sessions::Model::begin_next_generation(&transaction, session, refresh).await?;
        transaction.commit().await?;
        // A session that was ended meanwhile gets no tokens, and the password stays changed.
        renewed.ok_or(UserError::SessionEnded)
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
            password_hash: Set(new.hash(Requester::OPERATOR).await?),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        self.update_and_revoke_sessions(&transaction, changed, Column::Id.eq(self.id), None)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Activates or deactivates the account. Unless it was so before, all sessions end. The invites of a
    /// deactivated user end too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_active(&self, db: &DatabaseConnection, is_active: bool) -> Result<(), DbErr> {
        let changed = ActiveModel {
            is_active: Set(is_active),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        self.update_and_revoke_sessions(
            &transaction,
            changed,
            Column::IsActive.ne(is_active),
            None,
        )
        .await?;
        if !is_active {
            invites::Model::revoke_all_by(&transaction, self.id, None).await?;
        }
        transaction.commit().await
    }

    /// Changes the user where a condition holds, and ends all sessions but one, or all. Returns whether the
    /// condition held.
    async fn update_and_revoke_sessions(
        &self,
        transaction: &DatabaseTransaction,
        changed: ActiveModel,
        condition: Expr,
        but: Option<Uuid>,
    ) -> Result<bool, DbErr> {
        let updated = Entity::update_many()
            .set(changed)
            .filter(Column::Id.eq(self.id))
            .filter(condition)
            .exec(transaction)
            .await?;
        if updated.rows_affected == 0 {
            return Ok(false);
        }
        sessions::Model::revoke_all(transaction, self.id, but).await?;
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
    pub fn has_username(&self, username: &str) -> bool {
        self.username_key == usernames::username_key(username)
    }

    /// The user of this name, in whatever letter case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_username(
        db: &impl ConnectionTrait,
        username: &str,
    ) -> Result<Option<Self>, DbErr> {
        Self::find_by_username_key(db, &usernames::username_key(username)).await
    }

    /// Lists the users whose username is not valid, or was replaced because of that, the oldest account
    /// first, 100 at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_renamed(db: &DatabaseConnection) -> Result<Vec<Self>, DbErr> {
        Entity::find()
            .filter(Column::FormerUsername.is_not_null())
            .order_by_asc(Column::Id)
            .limit(100)
            .all(db)
            .await
    }

    async fn find_by_former_username(
        db: &impl ConnectionTrait,
        username: &str,
    ) -> Result<Option<Self>, DbErr> {
        Entity::find()
            .filter(Column::FormerUsername.eq(username))
            .one(db)
            .await
    }

    async fn find_by_username_key(
        db: &impl ConnectionTrait,
        key: &str,
    ) -> Result<Option<Self>, DbErr> {
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

impl Actor {
    #[must_use]
    pub fn from_user(user: &Model) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str().into(),
        }
    }
}
