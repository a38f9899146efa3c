//! Sessions: each row is one login of a user. A session that was revoked has no row.
//!
//! A token is valid only as long as its session.
//!
//! The database's clock decides when a session ends. A node keeps the remaining time by its own monotonic clock. So
//! neither a difference between two nodes nor a clock that is set ends a session.

mod refresh;

use std::{collections::HashMap, time::Instant};

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::{
    DatabaseTransaction, FromQueryResult, QuerySelect, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

pub use self::refresh::{RefreshId, RefreshOutcome, RefreshTokenStatus, UnsignedRefreshToken};
pub use super::_entities::sessions::{ActiveModel, Column, Entity, Model};
use super::{
    bulk_query::{InputColumn, bulk_select, delete_in_steps},
    log::begin_write,
    users,
};
use crate::database::clock;

/// The number of characters of a user agent that are stored.
const MAX_USER_AGENT_CHARS: usize = 200;

/// The content of a token. Its signature proves that this server issued the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaims {
    pub user_id: i64,
    pub session_id: Uuid,
    /// The generation of the session's tokens.
    pub generation: i64,
    /// The id of the refresh token.
    pub refresh: RefreshId,
}

/// An active session, reduced to the fields that sockets and tokens need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveSession {
    pub id: Uuid,
    pub user_id: i64,
    /// The generation of the session's valid tokens. A password change begins the next generation.
    pub generation: i64,
    /// The end of the session. Each refresh moves the end.
    pub ends_at: Instant,
    /// The time until which a socket may stay open without a new token. The session may end before.
    pub token_valid_until: Option<Instant>,
}

impl ActiveSession {
    /// Returns the session with a token that is valid for this number of seconds from now.
    ///
    /// With 0, the token is valid as long as the session.
    #[must_use]
    pub fn with_token_ttl(self, seconds: u32) -> Self {
        let until = Instant::now() + std::time::Duration::from_secs(seconds.into());
        Self {
            token_valid_until: Some(until).filter(|_| seconds > 0),
            ..self
        }
    }

    /// Returns the time until the session or its token ends, if neither is renewed.
    #[must_use]
    pub fn remaining(&self) -> std::time::Duration {
        let end = self
            .token_valid_until
            .unwrap_or(self.ends_at)
            .min(self.ends_at);
        end.saturating_duration_since(Instant::now())
    }

    /// Returns the remaining time in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        i64::try_from(self.remaining().as_secs()).unwrap_or(i64::MAX)
    }
}

/// Returns the condition that a session has not expired.
fn not_expired_condition(db: &impl ConnectionTrait) -> Expr {
    Expr::col((Entity, Column::ExpiresAt)).gt(clock::now_expr(db))
}

/// Returns the end of a session by the monotonic clock of this process.
fn to_local_instant(expires_at: DateTimeWithTimeZone, now: DateTimeWithTimeZone) -> Instant {
    let (local_now, remaining) = (Instant::now(), expires_at - now);
    local_now
        .checked_add(remaining.to_std().unwrap_or_default())
        .unwrap_or(local_now)
}

#[derive(FromQueryResult)]
struct SessionRow {
    id: Uuid,
    user_id: i64,
    generation: i64,
    expires_at: DateTimeWithTimeZone,
    now: DateTimeWithTimeZone,
}

/// The rows of [`Model::find_all_active`].
#[derive(FromQueryResult)]
struct UserSessionRow {
    session_id: Uuid,
    generation: i64,
    expires_at: DateTimeWithTimeZone,
    now: DateTimeWithTimeZone,
    #[sea_orm(nested)]
    user: users::Model,
}

/// An active session with its user.
pub struct SessionWithUser {
    pub session: Model,
    pub user: users::Model,
    /// The database's time at which the session was active.
    pub now: DateTime<Utc>,
}

impl SessionWithUser {
    /// Returns the fields that sockets and tokens need.
    #[must_use]
    pub fn to_active(&self) -> ActiveSession {
        self.session.to_active(self.now)
    }
}

/// The number of surplus sessions that one login ends.
const MAX_SURPLUS_REVOKED: u64 = 500;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates a session for a login, and ends the sessions above the quota.
    ///
    /// Returns `None` if the user's password was changed, or the account was deactivated, since `user` was read.
    /// `refresh` is the session's first refresh token. If the user then has more than `max_sessions` sessions, the
    /// sessions that were unused for the longest time end.
    ///
    /// The result is the session, and whether other sessions ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_for_login(
        db: &DatabaseConnection,
        user: &users::Model,
        user_agent: Option<&str>,
        lifetime: Duration,
        refresh: RefreshId,
        max_sessions: u32,
    ) -> Result<Option<(ActiveSession, bool)>, DbErr> {
        let transaction = begin_write(db).await?;
        // A concurrent change of the user waits for this transaction and then ends the new session. An earlier
        // change is visible here.
        let unchanged_user = users::Entity::find_by_id(user.id)
            .filter(users::Column::IsActive.eq(true))
            .filter(users::Column::PasswordHash.eq(&user.password_hash))
            .lock_shared()
            .one(&transaction)
            .await?;
        if unchanged_user.is_none() {
            return Ok(None);
        }
        let now = clock::now(&transaction).await?;
        let session = ActiveModel {
            id: Set(Uuid::new_v4()),
            user_id: Set(user.id),
            created_at: Set(now.into()),
            used_at: Set(now.into()),
            expires_at: Set((now + lifetime).into()),
            user_agent: Set(user_agent.and_then(sanitize_user_agent)),
            refresh_jti: Set(refresh.jti),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        // The new session is excluded.
        let surplus: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::UserId.eq(user.id))
            .filter(Column::Id.ne(session.id))
            .order_by_desc(Column::UsedAt)
            .offset(u64::from(max_sessions.saturating_sub(1)))
            .limit(MAX_SURPLUS_REVOKED)
            .into_tuple()
            .all(&transaction)
            .await?;
        let has_surplus = !surplus.is_empty();
        if has_surplus {
            Entity::delete_many()
                .filter(Column::Id.is_in(surplus))
                .exec(&transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Some((session.to_active(now), has_surplus)))
    }

    /// Returns the session of a token, if the session is active, its user is active, and the token belongs to the
    /// session's current generation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active(
        db: &DatabaseConnection,
        claims: &TokenClaims,
    ) -> Result<Option<SessionWithUser>, DbErr> {
        let query = Entity::find_by_id(claims.session_id)
            .filter(Column::UserId.eq(claims.user_id))
            .filter(Column::Generation.eq(claims.generation))
            .filter(not_expired_condition(db))
            .find_also_related(users::Entity)
            .filter(users::Column::IsActive.eq(true))
            .expr_as(clock::now_expr(db), "now")
            .build(db.get_database_backend());
        let Some(row) = db.query_one_raw(query).await? else {
            return Ok(None);
        };
        Ok(Some(SessionWithUser {
            session: Self::from_query_result(&row, "A_")?,
            user: users::Model::from_query_result(&row, "B_")?,
            now: row.try_get("", "now")?,
        }))
    }

    /// Returns which of these sessions are active and belong to active users, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all_active(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, (ActiveSession, users::Model)>, DbErr> {
        let ids = ids.into_iter().map(|id| [id]);
        let query = format!(
            "SELECT sessions.id AS session_id, generation, expires_at, {} AS now, users.* \
             FROM input JOIN sessions ON sessions.id = input.id \
             JOIN users ON users.id = user_id WHERE is_active",
            clock::now_sql(db.get_database_backend())
        );
        let sessions: Vec<UserSessionRow> =
            bulk_select(db, &[InputColumn::Uuid("id")], ids, &query).await?;
        let active = sessions.into_iter().map(|row| {
            let active = ActiveSession {
                id: row.session_id,
                user_id: row.user.id,
                generation: row.generation,
                ends_at: to_local_instant(row.expires_at, row.now),
                token_valid_until: None,
            };
            (row.session_id, (active, row.user))
        });
        Ok(active
            .filter(|(_, (active, _))| !active.remaining().is_zero())
            .collect())
    }

    /// Returns the fields that sockets and tokens need, at this time of the database.
    #[must_use]
    pub fn to_active(&self, now: DateTime<Utc>) -> ActiveSession {
        ActiveSession {
            id: self.id,
            user_id: self.user_id,
            generation: self.generation,
            ends_at: to_local_instant(self.expires_at, now.into()),
            token_valid_until: None,
        }
    }

    /// Returns which of these sessions of active users still exist, by id. They may have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all_existing(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, ActiveSession>, DbErr> {
        let ids = ids.into_iter().map(|id| [id]);
        let query = format!(
            "SELECT sessions.id, user_id, generation, expires_at, {} AS now FROM input \
             JOIN sessions ON sessions.id = input.id \
             JOIN users ON users.id = user_id WHERE is_active",
            clock::now_sql(db.get_database_backend())
        );
        let sessions: Vec<SessionRow> =
            bulk_select(db, &[InputColumn::Uuid("id")], ids, &query).await?;
        let active = sessions.into_iter().map(|row| ActiveSession {
            id: row.id,
            user_id: row.user_id,
            generation: row.generation,
            ends_at: to_local_instant(row.expires_at, row.now),
            token_valid_until: None,
        });
        Ok(active.map(|session| (session.id, session)).collect())
    }

    /// Returns the active sessions of a user, the last used first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        user_id: i64,
        limit: u64,
    ) -> Result<Vec<Self>, DbErr> {
        Entity::find()
            .filter(Column::UserId.eq(user_id))
            .filter(not_expired_condition(db))
            .order_by_desc(Column::UsedAt)
            .order_by_desc(Column::Id)
            .limit(limit)
            .all(db)
            .await
    }

    /// Begins the next generation of a session's tokens: all earlier tokens become invalid.
    ///
    /// `refresh` is the id of the next refresh token. Returns `None` if the session has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_next_generation(
        transaction: &DatabaseTransaction,
        id: Uuid,
        refresh: RefreshId,
    ) -> Result<Option<ActiveSession>, DbErr> {
        let generation = Expr::col(Column::Generation).add(1);
        Entity::update_many()
            .col_expr(Column::Generation, generation)
            .col_expr(Column::RefreshJti, Expr::value(refresh.jti))
            .col_expr(Column::ParentJti, Expr::value(None::<Uuid>))
            .col_expr(Column::RotatedAt, Expr::value(None::<DateTimeWithTimeZone>))
            .col_expr(
                Column::SuccessorAt,
                Expr::value(None::<DateTimeWithTimeZone>),
            )
            .filter(Column::Id.eq(id))
            .exec(transaction)
            .await?;
        let renewed = Entity::find_by_id(id).one(transaction).await?;
        let now = clock::now(transaction).await?;
        Ok(renewed.map(|session| session.to_active(now)))
    }

    /// Ends a session of a user. Returns whether the session existed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(db: &impl ConnectionTrait, user_id: i64, id: Uuid) -> Result<bool, DbErr> {
        let deleted = Entity::delete_many()
            .filter(Column::UserId.eq(user_id))
            .filter(Column::Id.eq(id))
            .exec(db)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Ends all sessions of a user, except one if given. Returns the number of ended sessions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all(
        db: &impl ConnectionTrait,
        user_id: i64,
        except: Option<Uuid>,
    ) -> Result<u64, DbErr> {
        let mut delete = Entity::delete_many().filter(Column::UserId.eq(user_id));
        if let Some(kept) = except {
            delete = delete.filter(Column::Id.ne(kept));
        }
        Ok(delete.exec(db).await?.rows_affected)
    }

    /// Deletes the sessions that expired more than a day ago, in steps, see [`delete_in_steps`].
    ///
    /// The day protects sessions while a clock is wrong for a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(db: &DatabaseConnection) -> Result<(), DbErr> {
        let before = clock::now(db).await? - Duration::days(1);
        delete_in_steps::<Entity>(db, Column::Id, Column::ExpiresAt.lt(before)).await
    }
}

/// Returns the part of a user agent that is stored and shown: no control characters, limited length.
fn sanitize_user_agent(user_agent: &str) -> Option<String> {
    let visible = user_agent.chars().filter(|c| !c.is_control());
    Some(visible.take(MAX_USER_AGENT_CHARS).collect()).filter(|text: &String| !text.is_empty())
}
