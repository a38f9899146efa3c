//! A socket that goes on: by a new token, or by its session as it is now.

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;

use super::RichProtocol;
use crate::{
    channels::{
        hub::{Subscriptions, with_db_timeout},
        protocol::{
            CloseReason,
            rich::{ErrorReply, Frame, OkReply},
        },
    },
    models::sessions::{self, ActiveSession},
    tokens::{TokenError, TokenType},
};

impl RichProtocol<'_> {
    /// Does what `auth` asks for, and gives the reply.
    ///
    /// # Errors
    /// Why the socket must be closed: its session has ended.
    pub(super) async fn handle_auth(
        &self,
        id: i64,
        token: Option<&str>,
        places: &Subscriptions,
    ) -> Result<Utf8Bytes, CloseReason> {
        let gone_on = match self.channels.check_send_rate(self.actor.id) {
            Err(wait) => Err(ErrorReply::rate_limited(wait)),
            Ok(()) => match token {
                Some(token) => self
                    .session_for_token(token)
                    .await
                    .map(|session| places.replace_session(session)),
                None => places
                    .check_session()
                    .await
                    .map_err(|error| self.session_unavailable(&error)),
            },
        };
        if let Err(fault) = gone_on {
            return Ok(Frame::Error(fault.with_id(Some(id))).encode());
        }
        match places.close_signal().close_reason() {
            Some(reason) => Err(reason),
            None => Ok(Frame::Ok(OkReply {
                id,
                auth_expires_in: Some(places.session().expires_in()),
                ..OkReply::default()
            })
            .encode()),
        }
    }

    /// The session of a token, if it lives and is of the same user.
    async fn session_for_token(&self, token: &str) -> Result<ActiveSession, ErrorReply<'static>> {
        let refused = |code, message| ErrorReply::new(code, message).with_field("token");
        let claimed = match self.channels.tokens.verify(TokenType::Access, token) {
            Ok(claimed) => claimed,
            Err(TokenError::Expired) => {
                return Err(refused("token_expired", "This token has expired."));
            }
            Err(TokenError::Invalid) => {
                return Err(refused("unauthorized", "This is no access token."));
            }
        };
        if claimed.user_id != self.actor.id {
            return Err(refused("unauthorized", "This token is of somebody else."));
        }
        let db = self.channels.hub.db();
        let live = with_db_timeout(sessions::Model::find_active(db, &claimed)).await;
        match live.map_err(|error| self.session_unavailable(&error))? {
            Some(found) => {
                let lifetime = self.channels.settings.tokens.socket_lifetime;
                Ok(found.to_active().with_token_ttl(lifetime))
            }
            None => Err(refused(
                "unauthorized",
                "The session of this token has ended.",
            )),
        }
    }

    fn session_unavailable(&self, error: &DbErr) -> ErrorReply<'static> {
        tracing::warn!(%error, user = self.actor.id, "a session cannot be looked up");
        ErrorReply::unavailable()
    }
}
