//! Sessions: who is logged in, where, and for how long. A token is worth as much as its session; a
//! session that was ended has no row any more.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::{FromQueryResult, QuerySelect, sea_query::Expr};
use uuid::Uuid;

pub use super::_entities::sessions::{ActiveModel, Column, Entity, Model};
use super::{asked::rows_of, log::begin, users};

/// Characters of a user agent that are kept.
const USER_AGENT_CHARS: usize = 200;

/// How long the refresh token that another one has just replaced is still taken: two tabs of one
/// browser may refresh at the same moment.
const GRACE: Duration = Duration::seconds(10);

/// Refreshes of one session at the same moment; more of them are told to come back.
const ATTEMPTS: usize = 8;

/// A session that lives, as far as whoever came by it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub id: Uuid,
    pub user_id: i64,
    /// Later with each refresh.
    pub ends_at: DateTime<Utc>,
    /// When who came by it must show a token again, if the session does not end before.
    pub shown_until: Option<DateTime<Utc>>,
}

impl Live {
    /// As somebody has just come by it, with a token that is good for so many seconds; 0: as long as
    /// the session.
    #[must_use]
    pub fn shown_for(self, seconds: u32) -> Self {
        let until = Utc::now() + Duration::seconds(seconds.into());
        Self {
            shown_until: Some(until).filter(|_| seconds > 0),
            ..self
        }
    }

    /// How long one may stay by it, if it is not refreshed and no token is shown.
    #[must_use]
    pub fn left(&self) -> std::time::Duration {
        self.until_end().to_std().unwrap_or_default()
    }

    /// The same in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        self.until_end().num_seconds().max(0)
    }

    fn until_end(&self) -> Duration {
        let end = self.shown_until.unwrap_or(self.ends_at).min(self.ends_at);
        end - Utc::now()
    }
}

/// A refresh token, as it names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshId {
    pub jti: Uuid,
    /// The one that was rotated for it; `None` for that of a login.
    pub parent: Option<Uuid>,
}

impl RefreshId {
    /// That of a login.
    #[must_use]
    pub fn first() -> Self {
        Self {
            jti: Uuid::new_v4(),
            parent: None,
        }
    }

    /// One that is to take the place of another.
    #[must_use]
    pub fn after(parent: Uuid) -> Self {
        Self {
            jti: Uuid::new_v4(),
            parent: Some(parent),
        }
    }
}

/// What a token says of itself, and nobody else could have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    pub user_id: i64,
    pub session_id: Uuid,
    /// Of a refresh token.
    pub refresh: RefreshId,
}

/// What became of a refresh.
pub enum Refreshed {
    /// The session goes on.
    Live {
        session: Live,
        /// The refresh token whose place the next one takes.
        parent: Uuid,
    },
    /// The token was replaced long ago, so somebody else has a copy of it: the session has ended.
    Reused { user: users::Model },
    /// There is no such session.
    Gone,
}

/// What a refresh token is to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The one that was used last.
    Current,
    /// A successor of that, which has arrived: its parent is not needed any more.
    Successor,
    /// One that has just been replaced.
    Overtaken,
    Reused,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: i64,
    expires_at: DateTimeWithTimeZone,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Begins a session with a login, unless the user's password was changed, or the account was
    /// deactivated, since the user was read. `refresh` is the session's first refresh token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        db: &DatabaseConnection,
        user: &users::Model,
        user_agent: Option<&str>,
        lifetime: Duration,
        refresh: RefreshId,
    ) -> Result<Option<Live>, DbErr> {
        let transaction = begin(db).await?;
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
        let now = Utc::now();
        let session = ActiveModel {
            id: Set(Uuid::new_v4()),
            user_id: Set(user.id),
            created_at: Set(now.into()),
            used_at: Set(now.into()),
            expires_at: Set((now + lifetime).into()),
            user_agent: Set(user_agent.and_then(shown)),
            refresh_jti: Set(refresh.jti),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(session.live()))
    }

    /// The session of an active user, if it lives.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_live(
        db: &DatabaseConnection,
        id: Uuid,
        user_id: i64,
    ) -> Result<Option<(Self, users::Model)>, DbErr> {
        let found = Entity::find_by_id(id)
            .filter(Column::UserId.eq(user_id))
            .filter(Column::ExpiresAt.gt(Utc::now()))
            .find_also_related(users::Entity)
            .filter(users::Column::IsActive.eq(true))
            .one(db)
            .await?;
        Ok(found.and_then(|(session, user)| Some((session, user?))))
    }

    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            id: self.id,
            user_id: self.user_id,
            ends_at: self.expires_at.to_utc(),
            shown_until: None,
        }
    }

    /// Those of these sessions that nobody has ended. They may have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn which_live(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Live>, DbErr> {
        let asked = ids.into_iter().map(|id| [id.into()]);
        let query = "SELECT sessions.id, user_id, expires_at FROM asked \
                     JOIN sessions ON sessions.id = asked.id \
                     JOIN users ON users.id = user_id WHERE is_active";
        let rows: Vec<Row> = rows_of(db, "id", asked, query).await?;
        let live = rows.into_iter().map(|row| Live {
            id: row.id,
            user_id: row.user_id,
            ends_at: row.expires_at.to_utc(),
            shown_until: None,
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
            .filter(Column::ExpiresAt.gt(Utc::now()))
            .order_by_desc(Column::UsedAt)
            .order_by_desc(Column::Id)
            .limit(limit)
            .all(db)
            .await
    }

    /// Goes on with a session by a refresh token: it lives for `lifetime` from now on.
    ///
    /// A token is good until its successor is used, so that an answer that was lost costs nothing.
    /// After that it can only be a copy (RFC 9700, section 4.14.2), and the session ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(
        db: &DatabaseConnection,
        claimed: Claimed,
        lifetime: Duration,
    ) -> Result<Refreshed, DbErr> {
        let (id, user_id, token) = (claimed.session_id, claimed.user_id, claimed.refresh);
        for _ in 0..ATTEMPTS {
            let Some((mut session, user)) = Self::find_live(db, id, user_id).await? else {
                return Ok(Refreshed::Gone);
            };
            let (known, now) = (session.refresh_jti, Utc::now());
            if session.take(token, now) == Standing::Reused {
                Self::end(db, user_id, id).await?;
                return Ok(Refreshed::Reused { user });
            }
            let ends_at = now + lifetime;
            let gone_on = Entity::update_many()
                .col_expr(Column::UsedAt, Expr::value(now))
                .col_expr(Column::ExpiresAt, Expr::value(ends_at))
                .col_expr(Column::RefreshJti, Expr::value(session.refresh_jti))
                .col_expr(Column::ParentJti, Expr::value(session.parent_jti))
                .col_expr(Column::RotatedAt, Expr::value(session.rotated_at))
                .filter(Column::Id.eq(id))
                // Somebody else may have been quicker, or have ended it.
                .filter(Column::RefreshJti.eq(known))
                .exec(db)
                .await?;
            if gone_on.rows_affected > 0 {
                return Ok(Refreshed::Live {
                    session: Live {
                        ends_at,
                        ..session.live()
                    },
                    parent: session.refresh_jti,
                });
            }
        }
        Err(DbErr::Custom(
            "a session was refreshed too often at the same moment".to_owned(),
        ))
    }

    /// Takes a refresh token of this session at a time, and says what it was to it.
    pub fn take(&mut self, token: RefreshId, now: DateTime<Utc>) -> Standing {
        let current = self.refresh_jti;
        if token.jti == current {
            return Standing::Current;
        }
        if token.parent == Some(current) {
            self.refresh_jti = token.jti;
            self.parent_jti = Some(current);
            self.rotated_at = Some(now.into());
            return Standing::Successor;
        }
        let is_fresh = self
            .rotated_at
            .is_some_and(|rotated| now - rotated.to_utc() < GRACE);
        let is_parent = self.parent_jti == Some(token.jti);
        // Two were issued for the same one, and the other was used first.
        let is_sibling = self.parent_jti.is_some() && self.parent_jti == token.parent;
        if is_fresh && (is_parent || is_sibling) {
            Standing::Overtaken
        } else {
            Standing::Reused
        }
    }

    /// Ends a session of a user. Says whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(db: &impl ConnectionTrait, user_id: i64, id: Uuid) -> Result<bool, DbErr> {
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
    pub async fn end_all(
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

    /// Forgets the sessions that have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_expired(db: &DatabaseConnection) -> Result<(), DbErr> {
        let now = Utc::now();
        let expired = Entity::delete_many().filter(Column::ExpiresAt.lt(now));
        expired.exec(db).await?;
        Ok(())
    }
}

/// A user agent as it may be stored and shown.
fn shown(user_agent: &str) -> Option<String> {
    let visible = user_agent.chars().filter(|c| !c.is_control());
    Some(visible.take(USER_AGENT_CHARS).collect()).filter(|shown: &String| !shown.is_empty())
}
