//! The refresh of a session, and the rules of refresh tokens.

use chrono::{DateTime, Duration, Utc};
use loco_rs::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ActiveSession, Column, Entity, Model, TokenClaims};
use crate::models::users;

/// The grace period of a rotation, because two tabs of one browser may refresh at the same moment.
///
/// All rotations of one refresh token within the grace give the same successor. The token itself stays valid for
/// the same time after the first use of its successor.
const ROTATION_GRACE: Duration = Duration::seconds(10);

/// The number of attempts to store a refresh, while other requests refresh the same session.
const MAX_REFRESH_ATTEMPTS: usize = 8;

/// The id of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshId {
    pub jti: Uuid,
    /// The token that this token replaces; `None` for the token of a login.
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

    /// Returns the id of the successor of a token that is issued at this time.
    ///
    /// The same input always gives the same id. The id is not a secret, because tokens are signed.
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

/// A refresh token before its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsignedRefreshToken {
    pub id: RefreshId,
    /// The time of the token's first issue. A repeated token has the same content.
    pub issued_at: DateTime<Utc>,
}

impl UnsignedRefreshToken {
    /// Returns a token that is issued now, for the first time.
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
    /// The session continues.
    Active {
        session: ActiveSession,
        /// The successor of the token, if one was requested.
        next_token: Option<UnsignedRefreshToken>,
    },
    /// The token was replaced longer ago than the grace. Another party has a copy, so the session has ended.
    TokenReused { user: users::Model },
    /// The session does not exist.
    SessionNotFound,
}

/// The position of a refresh token among the tokens of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokenStatus {
    /// The token that was used last.
    Current,
    /// A successor of the current token, at its first use. It becomes the current token.
    Successor,
    /// The token that the current token replaced within the grace.
    Superseded,
    /// A token that was replaced longer ago: a copy.
    Reused,
}

impl Model {
    /// Refreshes a session by a refresh token. The session then lasts for `lifetime` from now.
    ///
    /// With `rotate`, the token gets a successor. A token is valid until its successor is used, so a lost response
    /// does no harm. After that use and the grace, a token can only be a copy (RFC 9700, section 4.14.2), and the
    /// session ends. All times are from the database's clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(
        db: &DatabaseConnection,
        claims: TokenClaims,
        rotate: bool,
        lifetime: Duration,
    ) -> Result<RefreshOutcome, DbErr> {
        let (id, user_id, token) = (claims.session_id, claims.user_id, claims.refresh);
        let generation = claims.generation;
        for _ in 0..MAX_REFRESH_ATTEMPTS {
            let Some(active) = Self::find_active(db, &claims).await? else {
                return Ok(RefreshOutcome::SessionNotFound);
            };
            let (mut session, user, now) = (active.session, active.user, active.now);
            let previous = (session.refresh_jti, session.successor_at);
            let status = session.use_token(token, now);
            if status == RefreshTokenStatus::Reused {
                let deleted = Entity::delete_many()
                    .filter(Column::Id.eq(id))
                    .filter(Column::UserId.eq(user_id))
                    // A password change may have renewed the session after the read.
                    .filter(Column::RefreshJti.eq(previous.0))
                    .filter(Column::Generation.eq(generation))
                    .exec(db)
                    .await?;
                if deleted.rows_affected == 0 {
                    continue;
                }
                return Ok(RefreshOutcome::TokenReused { user });
            }
            let next_token = rotate.then(|| session.rotate(token, status, now));
            session.expires_at = (now + lifetime).into();
            let is_same_successor = match previous.1 {
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
                // Another request may have refreshed or ended the session first.
                .filter(Column::RefreshJti.eq(previous.0))
                .filter(is_same_successor)
                .filter(Column::Generation.eq(generation))
                .exec(db)
                .await?;
            if stored.rows_affected > 0 {
                return Ok(RefreshOutcome::Active {
                    session: session.to_active(now),
                    next_token,
                });
            }
        }
        Err(DbErr::Custom(
            "a session was refreshed too often at the same moment".to_owned(),
        ))
    }

    /// Marks a refresh token as used at this time, and returns its status.
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
            .is_some_and(|rotated_at| now - rotated_at.to_utc() < ROTATION_GRACE);
        let is_parent = self.parent_jti == Some(token.jti);
        // Rotations with a distance longer than the grace give different successors.
        let is_sibling = self.parent_jti.is_some() && self.parent_jti == token.parent;
        if is_fresh && (is_parent || is_sibling) {
            RefreshTokenStatus::Superseded
        } else {
            RefreshTokenStatus::Reused
        }
    }

    /// Returns the successor of a token that was used with this status.
    ///
    /// The successor of a superseded token is in use already. The same successor is issued again within the grace of
    /// its issue, because two tabs rotated at the same moment. After that time, the holder of the superseded token may
    /// be a thief. So that holder gets a successor in a separate chain. When both chains continue, one of them
    /// is detected as a copy.
    pub fn rotate(
        &mut self,
        token: RefreshId,
        status: RefreshTokenStatus,
        now: DateTime<Utc>,
    ) -> UnsignedRefreshToken {
        let rotated_at = self.rotated_at.map(|at| at.to_utc());
        let successor_at = self.successor_at.map(|at| at.to_utc());
        // A time before the first use of the current token is the issue time of the current token.
        let is_of_current = |at: &DateTime<Utc>| rotated_at.is_some_and(|rotated| *at < rotated);
        let issued_at = successor_at.filter(|at| is_of_current(at) && now - *at < ROTATION_GRACE);
        if status == RefreshTokenStatus::Superseded
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
