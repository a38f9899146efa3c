//! Refreshing a session, and the rules of refresh tokens.

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ActiveSession, Column, Entity, Model, TokenClaims};
use crate::models::users;

/// The grace: two tabs of one browser may refresh at the same moment. All rotations of one refresh token
/// within it give the same successor, and the token itself stays valid for as long after the first use of
/// its successor.
const ROTATION_GRACE: Duration = Duration::seconds(10);

/// Attempts to store a refresh while others refresh the same session.
const MAX_REFRESH_ATTEMPTS: usize = 8;

/// The id of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshId {
    pub jti: Uuid,
    /// The token that was rotated for this one; `None` for the token of a login.
    pub parent: Option<Uuid>,
}

impl RefreshId {
    /// Returns the id of a login's refresh token.
    #[must_use]
    pub fn for_login() -> Self {
        Self {
            jti: Uuid::new_v4(),
            parent: None,
        }
    }

    /// Returns the id of the successor of a token that is issued at this time: always the same one. The id
    /// need not be a secret, because tokens are signed.
    #[must_use]
    pub fn successor_of(parent: Uuid, issued_at: DateTime<Utc>) -> Self {
        let digest = Sha256::new()
            .chain_update(parent.as_bytes())
            .chain_update(issued_at.timestamp_micros().to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(digest)
            .for_each(|(byte, of)| *byte = of);
        Self {
            jti: uuid::Builder::from_custom_bytes(bytes).into_uuid(),
            parent: Some(parent),
        }
    }
}

/// A refresh token that is to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsignedRefreshToken {
    pub id: RefreshId,
    /// The time of its first issue: the same token is signed again as it was.
    pub issued_at: DateTime<Utc>,
}

impl UnsignedRefreshToken {
    /// A token that is issued now, for the first time.
    #[must_use]
    pub fn issue_now(id: RefreshId) -> Self {
        Self {
            id,
            issued_at: Utc::now(),
        }
    }
}

/// The result of a refresh.
pub enum RefreshOutcome {
    /// The session goes on.
    Active {
        session: ActiveSession,
        /// The successor of the token, if one was requested.
        next_token: Option<UnsignedRefreshToken>,
    },
    /// The token was replaced before the grace, so that somebody else has a copy of it: the session has ended.
    TokenReused { user: users::Model },
    /// The session does not exist.
    SessionNotFound,
}

/// The place of a refresh token in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokenStatus {
    /// The token that was used last.
    Current,
    /// A successor of the current token, used for the first time. It is the current token from then on.
    Successor,
    /// The token that the current one has replaced within the grace.
    Superseded,
    /// A copy.
    Reused,
}

impl Model {
    /// Refreshes a session by a refresh token: the session lives for `lifetime` from now on. With `rotate` the
    /// token gets a successor.
    ///
    /// A token is valid until its successor is used, so that a lost answer costs nothing. After that and the
    /// grace it can only be a copy (RFC 9700, section 4.14.2), and the session ends. All times are those of
    /// the database's clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(
        db: &DatabaseConnection,
        claimed: TokenClaims,
        rotate: bool,
        lifetime: Duration,
    ) -> Result<RefreshOutcome, DbErr> {
        let (id, user_id, token) = (claimed.session_id, claimed.user_id, claimed.refresh);
        let generation = claimed.generation;
        for _ in 0..MAX_REFRESH_ATTEMPTS {
            let Some(found) = Self::find_active(db, &claimed).await? else {
                return Ok(RefreshOutcome::SessionNotFound);
            };
            let (mut session, user, now) = (found.session, found.user, found.now);
            let known = (session.refresh_jti, session.successor_at);
            let standing = session.use_token(token, now);
            if standing == RefreshTokenStatus::Reused {
                let ended = Entity::delete_many()
                    .filter(Column::Id.eq(id))
                    .filter(Column::UserId.eq(user_id))
                    // A password change may have renewed the session meanwhile.
                    .filter(Column::RefreshJti.eq(known.0))
                    .filter(Column::Generation.eq(generation))
                    .exec(db)
                    .await?;
                if ended.rows_affected == 0 {
                    continue;
                }
                return Ok(RefreshOutcome::TokenReused { user });
            }
            let rotated = rotate.then(|| session.rotate(token, standing, now));
            session.expires_at = (now + lifetime).into();
            let is_same_successor = match known.1 {
                Some(at) => Expr::col(Column::SuccessorAt).eq(at),
                None => Expr::col(Column::SuccessorAt).is_null(),
            };
            let stored = Entity::update_many()
                .col_expr(Column::UsedAt, Expr::value(now))
                .col_expr(Column::ExpiresAt, Expr::value(session.expires_at))
                .col_expr(Column::RefreshJti, Expr::value(session.refresh_jti))
                .col_expr(Column::ParentJti, Expr::value(session.parent_jti))
                .col_expr(Column::RotatedAt, Expr::value(session.rotated_at))
                .col_expr(Column::SuccessorAt, Expr::value(session.successor_at))
                .filter(Column::Id.eq(id))
                // Another request may have refreshed the session first, or have ended it.
                .filter(Column::RefreshJti.eq(known.0))
                .filter(is_same_successor)
                .filter(Column::Generation.eq(generation))
                .exec(db)
                .await?;
            if stored.rows_affected > 0 {
                return Ok(RefreshOutcome::Active {
                    session: session.to_active(now),
                    next_token: rotated,
                });
            }
        }
        Err(DbErr::Custom(
            "a session was refreshed too often at the same moment".to_owned(),
        ))
    }

    /// Takes a refresh token of this session at a time, and returns its standing.
    pub fn use_token(&mut self, token: RefreshId, now: DateTime<Utc>) -> RefreshTokenStatus {
        let current = self.refresh_jti;
        if token.jti == current {
            return RefreshTokenStatus::Current;
        }
        if token.parent == Some(current) {
            self.refresh_jti = token.jti;
            self.parent_jti = Some(current);
            self.rotated_at = Some(now.into());
            return RefreshTokenStatus::Successor;
        }
        let is_fresh = self
            .rotated_at
            .is_some_and(|rotated| now - rotated.to_utc() < ROTATION_GRACE);
        let is_parent = self.parent_jti == Some(token.jti);
        // Rotations further apart than the grace give different successors.
        let is_sibling = self.parent_jti.is_some() && self.parent_jti == token.parent;
        if is_fresh && (is_parent || is_sibling) {
            RefreshTokenStatus::Superseded
        } else {
            RefreshTokenStatus::Reused
        }
    }

    /// Returns the successor of a token that was taken with this standing.
    ///
    /// The successor of an overtaken token is in use already. It is given once more within the grace of its issue:
    /// two tabs rotated at the same moment. Later than that, whoever shows the overtaken token may be a thief, and
    /// gets a token of a line of its own: one of the two lines is a copy as soon as both go on.
    pub fn rotate(
        &mut self,
        token: RefreshId,
        standing: RefreshTokenStatus,
        now: DateTime<Utc>,
    ) -> UnsignedRefreshToken {
        let rotated_at = self.rotated_at.map(|at| at.to_utc());
        let successor_at = self.successor_at.map(|at| at.to_utc());
        // From before the first use of the current token, it is the time of that token.
        let is_of_current = |at: &DateTime<Utc>| rotated_at.is_some_and(|rotated| *at < rotated);
        let issued_at = successor_at.filter(|at| is_of_current(at) && now - *at < ROTATION_GRACE);
        if standing == RefreshTokenStatus::Superseded
            && let Some(issued_at) = issued_at
        {
            let id = RefreshId {
                jti: self.refresh_jti,
                parent: self.parent_jti.or(token.parent),
            };
            return UnsignedRefreshToken { id, issued_at };
        }
        let issued_at = successor_at
            .filter(|at| !is_of_current(at) && now - *at < ROTATION_GRACE)
            .unwrap_or(now);
        self.successor_at = Some(issued_at.into());
        UnsignedRefreshToken {
            id: RefreshId::successor_of(self.refresh_jti, issued_at),
            issued_at,
        }
    }
}
