//! Answers about invites.

use serde::Serialize;
use utoipa::ToSchema;

use super::format_time;
use crate::models::invites;

/// A new invite. The code is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewInvite {
    /// By which it is withdrawn.
    #[schema(example = 3)]
    pub id: i64,
    #[schema(
        example = "9f86d081884c7d659a2feaa0c55ad015",
        pattern = "^[0-9a-f]{32}$"
    )]
    pub code: String,
    /// The link for people: it opens the page.
    #[schema(example = "http://127.0.0.1:8000/#/invite/9f86d081884c7d659a2feaa0c55ad015")]
    pub url: String,
    /// The invite in the API.
    #[schema(example = "http://127.0.0.1:8000/api/invites/9f86d081884c7d659a2feaa0c55ad015/")]
    pub api_url: String,
    #[schema(example = "2026-11-29T14:05:09.123Z")]
    pub expires_at: String,
    /// Null: as many as come.
    #[schema(example = 5)]
    pub max_uses: Option<i64>,
    #[schema(example = 0)]
    pub uses: i64,
}

impl NewInvite {
    /// `base` is scheme and host of the URL.
    #[must_use]
    pub fn new(invite: &invites::Model, code: &invites::InviteCode, base: &str) -> Self {
        let code = code.as_str();
        Self {
            id: invite.id,
            url: format!("{base}/#/invite/{code}"),
            api_url: format!("{base}/api/invites/{code}/"),
            code: code.to_owned(),
            expires_at: format_time(&invite.expires_at),
            max_uses: invite.max_uses,
            uses: invite.uses,
        }
    }
}

/// An invite that still lets somebody in. Its code is known to whoever has it, and to nobody else.
#[derive(Serialize, ToSchema)]
pub struct Invite {
    #[schema(example = 3)]
    pub id: i64,
    #[schema(example = "ann")]
    pub created_by: String,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub created_at: String,
    #[schema(example = "2026-11-29T14:05:09.123Z")]
    pub expires_at: String,
    #[schema(example = 5)]
    pub max_uses: Option<i64>,
    #[schema(example = 0)]
    pub uses: i64,
}

impl From<invites::InviteRow> for Invite {
    fn from(invite: invites::InviteRow) -> Self {
        Self {
            id: invite.id,
            created_by: invite.created_by,
            created_at: format_time(&invite.created_at),
            expires_at: format_time(&invite.expires_at),
            max_uses: invite.max_uses,
            uses: invite.uses,
        }
    }
}

/// What an invite offers.
#[derive(Serialize, ToSchema)]
pub struct Offer {
    /// The group's title, if it has one.
    #[schema(example = "Lunch")]
    pub title: Option<String>,
    pub invited_by: Inviter,
    #[schema(example = "2026-11-29T14:05:09.123Z")]
    pub expires_at: String,
}

/// Who invites.
#[derive(Serialize, ToSchema)]
pub struct Inviter {
    #[schema(example = "ann")]
    pub username: String,
    #[schema(example = "Ann Lee")]
    pub name: String,
}

impl From<invites::InvitePreview> for Offer {
    fn from(offer: invites::InvitePreview) -> Self {
        Self {
            title: offer.title,
            invited_by: Inviter {
                username: offer.username,
                name: offer.name,
            },
            expires_at: format_time(&offer.expires_at),
        }
    }
}
