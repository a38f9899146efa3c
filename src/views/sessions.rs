//! Responses about sessions.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::format_time;
use crate::models::sessions;

/// One login of the user.
#[derive(Serialize, ToSchema)]
pub struct Session {
    #[schema(example = "67e55044-10b1-426f-9247-bb680e5fe0c8")]
    pub id: Uuid,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub created_at: String,
    /// The time at which the session last got a token.
    #[schema(example = "2026-11-22T18:20:10.456Z")]
    pub last_used_at: String,
    /// The end of the session, unless it is refreshed before.
    #[schema(example = "2026-12-06T18:20:10.456Z")]
    pub expires_at: String,
    /// The header `User-Agent` of the login.
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")]
    pub user_agent: Option<String>,
    /// True for the session of this request.
    #[schema(example = true)]
    pub current: bool,
}

impl Session {
    /// `current` is the id of the request's session.
    #[must_use]
    pub fn new(session: sessions::Model, current: Uuid) -> Self {
        Self {
            id: session.id,
            created_at: format_time(&session.created_at),
            last_used_at: format_time(&session.used_at),
            expires_at: format_time(&session.expires_at),
            current: session.id == current,
            user_agent: session.user_agent,
        }
    }
}

/// The sessions of a user.
#[derive(Serialize, ToSchema)]
pub struct Sessions {
    pub results: Vec<Session>,
}
