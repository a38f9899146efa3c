//! Sessions: who is logged in, where, and for how long. A token is worth as much as its session; a
//! session that was ended has no row any more.
//!
//! The database's clock says when a session ends. A node keeps the time that is left by its own monotonic
//! clock, so that neither the difference between two nodes nor a clock that is set ends a session.

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
use super::{bulk_query::bulk_select, log::begin_write, users};
use crate::database::clock;

/// Characters of a user agent that are kept.
const MAX_USER_AGENT_CHARS: usize = 200;

/// What a token says of itself, and nobody else could have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaims {
    pub user_id: i64,
    pub session_id: Uuid,
    /// The generation of the session's tokens.
    pub generation: i64,
    /// Of a refresh token.
    pub refresh: RefreshId,
}

/// A session that lives, as far as whoever came by it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveSession {
    pub id: Uuid,
    pub user_id: i64,
    /// The generation of the session's valid tokens: a password change begins the next one.
    pub generation: i64,
    /// The end of the session, later with each refresh.
    pub ends_at: Instant,
    /// The time until which a socket may stay without showing a token again, if the session does not end
    /// before.
    pub token_valid_until: Option<Instant>,
}

impl ActiveSession {
    /// As somebody has just come by it, with a token that is good for so many seconds; 0: as long as
    /// the session.
    #[must_use]
    pub fn with_token_ttl(self, seconds: u32) -> Self {
        let until = Instant::now() + std::time::Duration::from_secs(seconds.into());
        Self {
            token_valid_until: Some(until).filter(|_| seconds > 0),
            ..self
        }
    }

    /// How long one may stay by it, if it is not refreshed and no token is shown.
    #[must_use]
    pub fn remaining(&self) -> std::time::Duration {
        let end = self
            .token_valid_until
            .unwrap_or(self.ends_at)
            .min(self.ends_at);
        end.saturating_duration_since(Instant::now())
    }

    /// The same in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        i64::try_from(self.remaining().as_secs()).unwrap_or(i64::MAX)
    }
}

/// Returns the condition that a session has not expired.
fn not_expired_condition(db: &impl ConnectionTrait) -> Expr {
    Expr::col((Entity, Column::ExpiresAt)).gt(clock::now_expr(db))
}

/// Returns the end of a session by the clock of this process.
fn to_local_instant(expires_at: DateTimeWithTimeZone, now: DateTimeWithTimeZone) -> Instant {
    let (here, left) = (Instant::now(), expires_at - now);
    here.checked_add(left.to_std().unwrap_or_default())
        .unwrap_or(here)
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

/// A session that lives, with its user.
pub struct SessionWithUser {
    pub session: Model,
    pub user: users::Model,
    /// The time of the database at which it lived.
    pub now: DateTime<Utc>,
}

impl SessionWithUser {
    #[must_use]
    pub fn to_active(&self) -> ActiveSession {
        self.session.to_active(self.now)
    }
}

/// Sessions beyond the quota that one login ends.
const MAX_SURPLUS_REVOKED: u64 = 500;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Begins a session with a login, unless the user's password was changed, or the account was
    /// deactivated, since the user was read. `refresh` is the session's first refresh token. Where the user has
    /// more than `most` sessions then, those end that were not used for the longest time.
    ///
    /// Returns the session, and whether others ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_for_login(
        db: &DatabaseConnection,
        user: &users::Model,
        user_agent: Option<&str>,
        lifetime: Duration,
        refresh: RefreshId,
        most: u32,
    ) -> Result<Option<(ActiveSession, bool)>, DbErr> {
        let transaction = begin_write(db).await?;
        // Whoever changes the user waits until this session is there to be ended, or is seen here.
        let same = users::Entity::find_by_id(user.id)
            .filter(users::Column::IsActive.eq(true))
            .filter(users::Column::PasswordHash.eq(&user.password_hash))
            .lock_shared()
            .one(&transaction)
            .await?;
        if same.is_none() {
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
        // The new session is not among the others.
        let surplus: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::UserId.eq(user.id))
            .filter(Column::Id.ne(session.id))
            .order_by_desc(Column::UsedAt)
            .offset(u64::from(most.saturating_sub(1)))
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

    /// Returns the session of a token, if the session lives, its user is active, and the token is of the
    /// session's current generation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active(
        db: &DatabaseConnection,
        claimed: &TokenClaims,
    ) -> Result<Option<SessionWithUser>, DbErr> {
        let query = Entity::find_by_id(claimed.session_id)
            .filter(Column::UserId.eq(claimed.user_id))
            .filter(Column::Generation.eq(claimed.generation))
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

    /// Those of these sessions that live and are of active users.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all_active(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, (ActiveSession, users::Model)>, DbErr> {
        let asked = ids.into_iter().map(|id| [id.into()]);
        let query = format!(
            "SELECT sessions.id AS session_id, generation, expires_at, {} AS now, users.* \
             FROM asked JOIN sessions ON sessions.id = asked.id \
             JOIN users ON users.id = user_id WHERE is_active",
            clock::now_sql(db.get_database_backend())
        );
        let rows: Vec<UserSessionRow> = bulk_select(db, "id", asked, &query).await?;
        let live = rows.into_iter().map(|row| {
            let live = ActiveSession {
                id: row.session_id,
                user_id: row.user.id,
                generation: row.generation,
                ends_at: to_local_instant(row.expires_at, row.now),
                token_valid_until: None,
            };
            (row.session_id, (live, row.user))
        });
        Ok(live
            .filter(|(_, (live, _))| !live.remaining().is_zero())
            .collect())
    }

    /// Returns the session as sockets and tokens need it, at this time of the database.
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

    /// Those of these sessions that nobody has ended. They may have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all_existing(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, ActiveSession>, DbErr> {
        let asked = ids.into_iter().map(|id| [id.into()]);
        let query = format!(
            "SELECT sessions.id, user_id, generation, expires_at, {} AS now FROM asked \
             JOIN sessions ON sessions.id = asked.id \
             JOIN users ON users.id = user_id WHERE is_active",
            clock::now_sql(db.get_database_backend())
        );
        let rows: Vec<SessionRow> = bulk_select(db, "id", asked, &query).await?;
        let live = rows.into_iter().map(|row| ActiveSession {
            id: row.id,
            user_id: row.user_id,
            generation: row.generation,
            ends_at: to_local_instant(row.expires_at, row.now),
            token_valid_until: None,
        });
        Ok(live.map(|live| (live.id, live)).collect())
    }

    /// The sessions of a user that live, the last used first.
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

    /// Begins the next generation of a session's tokens: all tokens that were issued before are invalid.
    /// `refresh` is the id of the next refresh token. Returns `None` when the session has ended.
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

    /// Ends a session of a user. Says whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(db: &impl ConnectionTrait, user_id: i64, id: Uuid) -> Result<bool, DbErr> {
        let ended = Entity::delete_many()
            .filter(Column::UserId.eq(user_id))
            .filter(Column::Id.eq(id))
            .exec(db)
            .await?;
        Ok(ended.rows_affected > 0)
    }

    /// Ends all sessions of a user but one, or none. Says how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all(
        db: &impl ConnectionTrait,
        user_id: i64,
        but: Option<Uuid>,
    ) -> Result<u64, DbErr> {
        let mut ending = Entity::delete_many().filter(Column::UserId.eq(user_id));
        if let Some(kept) = but {
            ending = ending.filter(Column::Id.ne(kept));
        }
        Ok(ending.exec(db).await?.rows_affected)
    }

    /// Forgets the sessions that expired more than a day ago. A clock that is set wrong for a moment does not
    /// cost everybody their sessions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(db: &DatabaseConnection) -> Result<(), DbErr> {
        let margin = Duration::days(1);
        Entity::delete_many()
            .filter(Column::ExpiresAt.lt(clock::now(db).await? - margin))
            .exec(db)
            .await?;
        Ok(())
    }
}

/// A user agent as it may be stored and shown.
fn sanitize_user_agent(user_agent: &str) -> Option<String> {
    let visible = user_agent.chars().filter(|c| !c.is_control());
    Some(visible.take(MAX_USER_AGENT_CHARS).collect()).filter(|shown: &String| !shown.is_empty())
}
