//! Accounts: registration, login, passwords, and the names of users.

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, QuerySelect, sea_query::Expr};
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
use crate::database::{DbErrorKind, classify};

/// An account before registration. Every field is valid.
pub struct NewUser {
    pub name: String,
    pub username: Username,
    pub password: Password,
}

/// The reasons why a command about an account failed.
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

/// The reason why a login failed. Only the log contains it: the client could find accounts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    UnknownUser,
    WrongPassword {
        /// The id of the account.
        user: i64,
    },
    Inactive {
        /// The id of the account.
        user: i64,
    },
}

impl LoginFailure {
    /// Returns the id of the account, if the account exists.
    #[must_use]
    pub const fn user(self) -> Option<i64> {
        match self {
            Self::UnknownUser => None,
            Self::WrongPassword { user } | Self::Inactive { user } => Some(user),
        }
    }

    /// Returns the reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown user",
            Self::WrongPassword { .. } => "wrong password",
            Self::Inactive { .. } => "inactive account",
        }
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates an account.
    ///
    /// The unique indexes of the database decide between two registrations of one username. The strength of the
    /// password is checked after all cheap checks.
    ///
    /// # Errors
    /// [`UserError::UsernameTaken`] for a username that is used, or that differs from a used username only in letter
    /// case, or looks the same; [`UserError::CommonPassword`].
    pub async fn register(
        db: &DatabaseConnection,
        user: NewUser,
        requester: Requester,
    ) -> Result<Self, UserError> {
        let username_key = user.username.key();
        let confusable_key = ConfusableKey::from_username(&user.username);
        // This early check avoids the cost of hashing. The indexes decide.
        if Self::find_by_username_key(db, &username_key)
            .await?
            .is_some()
            || confusable_key.is_reserved_by_other(db).await?
        {
            return Err(UserError::UsernameTaken);
        }
        let user_inputs = vec![user.name.clone(), user.username.as_str().to_owned()];
        if user.password.is_common(requester, user_inputs).await? {
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
        if !confusable_key.reserve(&transaction).await? {
            return Err(UserError::UsernameTaken);
        }
        let inserted = row.insert(&transaction).await;
        let inserted = inserted.map_err(|error| match classify(&error) {
            DbErrorKind::UniqueViolation => UserError::UsernameTaken,
            _ => error.into(),
        })?;
        transaction.commit().await?;
        Ok(inserted)
    }

    /// Returns the active user with this username and password, or the reason why there is none.
    ///
    /// The call takes the same time for an unknown user, a wrong password and an inactive account.
    ///
    /// A user whose username became invalid, and was replaced, can still log in with the former username.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn authenticate(
        db: &DatabaseConnection,
        username: &str,
        password: &str,
        requester: Requester,
    ) -> Result<Result<Self, LoginFailure>, UserError> {
        let mut user = Self::find_by_username_key(db, &usernames::username_key(username)).await?;
        if let (None, Some(former)) = (&user, Username::parse_former(username)) {
            user = Self::find_by_former_username(db, &former).await?;
        }
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = Password::from_input(password)
            .matches(requester, hash)
            .await?;
        Ok(match user {
            None => Err(LoginFailure::UnknownUser),
            Some(user) if !matches => Err(LoginFailure::WrongPassword { user: user.id }),
            Some(user) if !user.is_active => Err(LoginFailure::Inactive { user: user.id }),
            Some(user) => Ok(user),
        })
    }

    /// Replaces the password and ends all other sessions. Returns the session, for which the caller issues new tokens.
    ///
    /// All earlier tokens of the session become invalid. `refresh` is the id of its next refresh token.
    ///
    /// The strength of the new password is checked after the current password was confirmed.
    ///
    /// # Errors
    /// [`UserError::WrongPassword`], [`UserError::CommonPassword`], [`UserError::SessionEnded`], and when the database
    /// or the hashing fails.
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
        let user_inputs = vec![self.name.clone(), self.username.clone()];
        if new.is_common(requester, user_inputs).await? {
            return Err(UserError::CommonPassword);
        }
        let changes = ActiveModel {
            password_hash: Set(new.hash(requester).await?),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        // If the password changed after the check, `current` is no longer the current password.
        let is_unchanged = Column::PasswordHash.eq(&self.password_hash);
        if !self
            .update_and_revoke_sessions(&transaction, changes, is_unchanged, Some(session))
            .await?
        {
            return Err(UserError::WrongPassword);
        }
        let renewed =
            sessions::Model::begin_next_generation(&transaction, session, refresh).await?;
        transaction.commit().await?;
        // A session that ended after the check gets no tokens. The new password stays.
        renewed.ok_or(UserError::SessionEnded)
    }

    /// Sets a new password without the old one, and ends all sessions.
    ///
    /// # Errors
    /// When the database or the hashing fails.
    pub async fn reset_password(
        &self,
        db: &DatabaseConnection,
        new: Password,
    ) -> Result<(), UserError> {
        let changes = ActiveModel {
            password_hash: Set(new.hash(Requester::OPERATOR).await?),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        self.update_and_revoke_sessions(&transaction, changes, Column::Id.eq(self.id), None)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Activates or deactivates the account. If the state changes, all sessions end.
    ///
    /// The invites of a deactivated user end too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_active(&self, db: &DatabaseConnection, is_active: bool) -> Result<(), DbErr> {
        let changes = ActiveModel {
            is_active: Set(is_active),
            ..Default::default()
        };
        let transaction = begin_write(db).await?;
        self.update_and_revoke_sessions(
            &transaction,
            changes,
            Column::IsActive.ne(is_active),
            None,
        )
        .await?;
        if !is_active {
            invites::Model::revoke_all_by(&transaction, self.id, None).await?;
        }
        transaction.commit().await
    }

    /// Changes the user if a condition holds, and then ends all sessions except `except`. Returns whether the
    /// condition held.
    async fn update_and_revoke_sessions(
        &self,
        transaction: &DatabaseTransaction,
        changes: ActiveModel,
        condition: Expr,
        except: Option<Uuid>,
    ) -> Result<bool, DbErr> {
        let updated = Entity::update_many()
            .set(changes)
            .filter(Column::Id.eq(self.id))
            .filter(condition)
            .exec(transaction)
            .await?;
        if updated.rows_affected == 0 {
            return Ok(false);
        }
        sessions::Model::revoke_all(transaction, self.id, except).await?;
        Ok(true)
    }

    /// Returns the user with this id, if the account is active.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active(db: &DatabaseConnection, id: i64) -> Result<Option<Self>, DbErr> {
        Ok(Entity::find_by_id(id)
            .one(db)
            .await?
            .filter(|user| user.is_active))
    }

    /// Returns whether this is the user's username, without regard to letter case.
    #[must_use]
    pub fn has_username(&self, username: &str) -> bool {
        self.username_key == usernames::username_key(username)
    }

    /// Returns the user with this username, without regard to letter case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_username(
        db: &impl ConnectionTrait,
        username: &str,
    ) -> Result<Option<Self>, DbErr> {
        Self::find_by_username_key(db, &usernames::username_key(username)).await
    }

    /// Returns the users whose username is invalid, or was replaced because it was invalid: the oldest accounts first,
    /// at most 100.
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
        // PostgreSQL cannot store a NUL: it would return an error instead of no row.
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
    /// Returns the user as the actor of a command.
    #[must_use]
    pub fn from_user(user: &Model) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str().into(),
        }
    }
}
