//! A socket that goes on: by a new token, or by its session as it is now.

use axum::extract::ws::Utf8Bytes;
use sea_orm::DbErr;

use super::Rich;
use crate::{
    channels::{
        hub::{Places, in_time},
        protocol::{
            CloseReason,
            rich::{Done, Fault, Frame},
        },
    },
    models::sessions::{self, Live},
    tokens::{Refused, TokenType},
};

impl Rich<'_> {
    /// Does what `auth` asks for, and gives the reply.
    ///
    /// # Errors
    /// Why the socket must be closed: its session has ended.
    pub(super) async fn auth(
        &self,
        id: i64,
        token: Option<&str>,
        places: &Places,
    ) -> Result<Utf8Bytes, CloseReason> {
        let gone_on = match self.channels.may_send(self.author.id) {
            Err(wait) => Err(Fault::rate_limited(wait)),
            Ok(()) => match token {
                Some(token) => self
                    .session_of(token)
                    .await
                    .map(|session| places.go_on_by(session)),
                None => places
                    .check_session()
                    .await
                    .map_err(|error| self.unread(&error)),
            },
        };
        if let Err(fault) = gone_on {
            return Ok(Frame::Error(fault.to(Some(id))).encode());
        }
        match places.ending().now() {
            Some(reason) => Err(reason),
            None => Ok(Frame::Ok(Done {
                id,
                auth_expires_in: Some(places.session().expires_in()),
                ..Done::default()
            })
            .encode()),
        }
    }

    /// The session of a token, if it lives and is of the same user.
    async fn session_of(&self, token: &str) -> Result<Live, Fault<'static>> {
        let refused = |code, message| Fault::new(code, message).at("token");
        let claimed = match self.channels.tokens.verify(TokenType::Access, token) {
            Ok(claimed) => claimed,
            Err(Refused::Expired) => {
                return Err(refused("token_expired", "This token has expired."));
            }
            Err(Refused::Invalid) => {
                return Err(refused("unauthorized", "This is no access token."));
            }
        };
        if claimed.user_id != self.author.id {
            return Err(refused("unauthorized", "This token is of somebody else."));
        }
        let db = self.channels.hub.db();
        let live = in_time(sessions::Model::find_live(db, &claimed)).await;
        match live.map_err(|error| self.unread(&error))? {
            Some(found) => {
                let lifetime = self.channels.settings.tokens.socket_lifetime;
                Ok(found.live().shown_for(lifetime))
            }
            None => Err(refused(
                "unauthorized",
                "The session of this token has ended.",
            )),
        }
    }

    fn unread(&self, error: &DbErr) -> Fault<'static> {
        tracing::warn!(%error, user = self.author.id, "a session cannot be looked up");
        Fault::unavailable()
    }
}
