//! Sessions: who is logged in, where, and for how long. A token is worth as much as its session; a
//! session that was ended has no row any more.

mod refresh;

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, QuerySelect, sea_query::Expr};
use uuid::Uuid;

pub use self::refresh::{RefreshId, Refreshed, Standing};
pub use super::_entities::sessions::{ActiveModel, Column, Entity, Model};
use super::{asked::rows_of, log::begin, users};

/// Characters of a user agent that are kept.
const USER_AGENT_CHARS: usize = 200;

/// What a token says of itself, and nobody else could have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    pub user_id: i64,
    pub session_id: Uuid,
    /// The generation of the session's tokens.
    pub generation: i64,
    /// Of a refresh token.
    pub refresh: RefreshId,
}

/// A session that lives, as far as whoever came by it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub id: Uuid,
    pub user_id: i64,
    /// The generation of the session's valid tokens: a password change begins the next one.
    pub generation: i64,
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

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: i64,
    generation: i64,
    expires_at: DateTimeWithTimeZone,
}

/// What [`Model::find_all_live`] finds.
#[derive(FromQueryResult)]
struct OfUser {
    session_id: Uuid,
    generation: i64,
    expires_at: DateTimeWithTimeZone,
    #[sea_orm(nested)]
    user: users::Model,
}

/// Sessions beyond the quota that one login ends.
const SURPLUS_AT_ONCE: u64 = 500;

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
    pub async fn begin(
        db: &DatabaseConnection,
        user: &users::Model,
        user_agent: Option<&str>,
        lifetime: Duration,
        refresh: RefreshId,
        most: u32,
    ) -> Result<Option<(Live, bool)>, DbErr> {
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
        // The new one is not among the others, whatever the clocks of other nodes say.
        let surplus: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::UserId.eq(user.id))
            .filter(Column::Id.ne(session.id))
            .order_by_desc(Column::UsedAt)
            .offset(u64::from(most.saturating_sub(1)))
            .limit(SURPLUS_AT_ONCE)
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
        Ok(Some((session.live(), has_surplus)))
    }

    /// Returns the session of a token, if the session lives, its user is active, and the token is of the
    /// session's current generation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_live(
        db: &DatabaseConnection,
        claimed: &Claimed,
    ) -> Result<Option<(Self, users::Model)>, DbErr> {
        let found = Entity::find_by_id(claimed.session_id)
            .filter(Column::UserId.eq(claimed.user_id))
            .filter(Column::Generation.eq(claimed.generation))
            .filter(Column::ExpiresAt.gt(Utc::now()))
            .find_also_related(users::Entity)
            .filter(users::Column::IsActive.eq(true))
            .one(db)
            .await?;
        Ok(found.and_then(|(session, user)| Some((session, user?))))
    }

    /// Those of these sessions that live and are of active users.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all_live(
        db: &DatabaseConnection,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, (Live, users::Model)>, DbErr> {
        let asked = ids.into_iter().map(|id| [id.into()]);
        let query = "SELECT sessions.id AS session_id, generation, expires_at, users.* FROM asked \
                     JOIN sessions ON sessions.id = asked.id \
                     JOIN users ON users.id = user_id WHERE is_active";
        let rows: Vec<OfUser> = rows_of(db, "id", asked, query).await?;
        let live = rows.into_iter().map(|row| {
            let live = Live {
                id: row.session_id,
                user_id: row.user.id,
                generation: row.generation,
                ends_at: row.expires_at.to_utc(),
                shown_until: None,
            };
            (row.session_id, (live, row.user))
        });
        Ok(live
            .filter(|(_, (live, _))| !live.left().is_zero())
            .collect())
    }

    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            id: self.id,
            user_id: self.user_id,
            generation: self.generation,
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
        let query = "SELECT sessions.id, user_id, generation, expires_at FROM asked \
                     JOIN sessions ON sessions.id = asked.id \
                     JOIN users ON users.id = user_id WHERE is_active";
        let rows: Vec<Row> = rows_of(db, "id", asked, query).await?;
        let live = rows.into_iter().map(|row| Live {
            id: row.id,
            user_id: row.user_id,
            generation: row.generation,
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

    /// Begins the next generation of a session's tokens: all tokens that were issued before are invalid.
    /// `refresh` is the id of the next refresh token. Returns `None` when the session has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew(
        transaction: &DatabaseTransaction,
        id: Uuid,
        refresh: RefreshId,
    ) -> Result<Option<Live>, DbErr> {
        use sea_orm::sea_query::ExprTrait as _;
        let generation = Expr::col(Column::Generation).add(1);
        Entity::update_many()
            .col_expr(Column::Generation, generation)
            .col_expr(Column::RefreshJti, Expr::value(refresh.jti))
            .col_expr(Column::ParentJti, Expr::value(None::<Uuid>))
            .col_expr(Column::RotatedAt, Expr::value(None::<DateTimeWithTimeZone>))
            .filter(Column::Id.eq(id))
            .exec(transaction)
            .await?;
        let renewed = Entity::find_by_id(id).one(transaction).await?;
        Ok(renewed.map(|session| session.live()))
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
