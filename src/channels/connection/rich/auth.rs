//! The `auth` request: a socket continues with a new token, or with its session as the database has it now.

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;

use super::{RichProtocol, RichSubscriptions};
use crate::{
    channels::protocol::{
        CloseReason,
        rich::{ErrorReply, Frame, OkReply},
    },
    database::with_db_timeout,
    models::sessions::{self, ActiveSession},
    tokens::{TokenError, TokenType},
};

impl RichProtocol<'_> {
    /// Handles an `auth` request, and returns the reply.
    ///
    /// # Errors
    /// The reason to close the socket: its session has ended.
    pub(super) async fn handle_auth(
        &self,
        id: i64,
        token: Option<&str>,
        subscriptions: &RichSubscriptions<'_>,
    ) -> Result<Utf8Bytes, CloseReason> {
        let refreshed = match self.channels.check_send_rate(self.actor.id) {
            Err(rate_limited) => Err(ErrorReply::rate_limited(rate_limited)),
            Ok(()) => match token {
                Some(token) => self
                    .session_for_token(token)
                    .await
                    .map(|session| subscriptions.replace_session(session)),
                None => subscriptions
                    .check_session()
                    .await
                    .map_err(|error| self.session_unavailable(&error)),
            },
        };
        if let Err(error) = refreshed {
            return Ok(Frame::Error(error.with_id(Some(id))).encode());
        }
        match subscriptions.close_signal().close_reason() {
            Some(reason) => Err(reason),
            None => Ok(Frame::Ok(OkReply {
                id,
                auth_expires_in: Some(subscriptions.session().expires_in()),
                ..OkReply::default()
            })
            .encode()),
        }
    }

    /// Returns the session of a token, if it is active and belongs to the same user.
    async fn session_for_token(&self, token: &str) -> Result<ActiveSession, ErrorReply<'static>> {
        let rejected = |code, message| ErrorReply::new(code, message).with_field("token");
        let claims = match self.channels.tokens.verify(TokenType::Access, token) {
            Ok(claims) => claims,
            Err(TokenError::Expired) => {
                return Err(rejected("token_expired", "This token has expired."));
            }
            Err(TokenError::Invalid) => {
                return Err(rejected(
                    "unauthorized",
                    "This is not a valid access token.",
                ));
            }
        };
        if claims.user_id != self.actor.id {
            return Err(rejected(
                "unauthorized",
                "This token belongs to another user.",
            ));
        }
        let db = &self.channels.hub.db;
        let found = with_db_timeout(sessions::Model::find_active(db, &claims)).await;
        match found.map_err(|error| self.session_unavailable(&error))? {
            Some(found) => {
                let lifetime = self.channels.settings.tokens.socket_lifetime;
                Ok(found.to_active().with_token_ttl(lifetime))
            }
            None => Err(rejected(
                "unauthorized",
                "The session of this token has ended.",
            )),
        }
    }

    fn session_unavailable(&self, error: &DbErr) -> ErrorReply<'static> {
        tracing::warn!(%error, user = self.actor.id, "the session of an auth request could not be read");
        ErrorReply::unavailable()
    }
}
