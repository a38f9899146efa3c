//! Going on with a session, and what a refresh token is worth to it.

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::sea_query::Expr;
use uuid::Uuid;

use super::{Claimed, Column, Entity, Live, Model};
use crate::models::users;

/// How long the refresh token that another one has just replaced is still taken: two tabs of one
/// browser may refresh at the same moment.
const GRACE: Duration = Duration::seconds(10);

/// Who loses a race finds another standing of the token, which may be lost in turn, but not for ever.
const ATTEMPTS: usize = 8;

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

impl Model {
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
        let generation = claimed.generation;
        for _ in 0..ATTEMPTS {
            let Some((mut session, user)) = Self::find_live(db, &claimed).await? else {
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
                .filter(Column::Generation.eq(generation))
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
}
