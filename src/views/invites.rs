//! Responses about invites.

use serde::Serialize;
use utoipa::ToSchema;

use super::format_time;
use crate::models::invites;

/// A new invite. Only this response has the code.
#[derive(Serialize, ToSchema)]
pub struct NewInvite {
    /// The id with which the invite is revoked.
    #[schema(example = 3)]
    pub id: i64,
    #[schema(
        example = "9f86d081884c7d659a2feaa0c55ad015",
        pattern = "^[0-9a-f]{32}$"
    )]
    pub code: String,
    /// The link for people. It opens the web page.
    #[schema(example = "http://127.0.0.1:8000/#/invite/9f86d081884c7d659a2feaa0c55ad015")]
    pub url: String,
    /// The URL of the invite in the API.
    #[schema(example = "http://127.0.0.1:8000/api/invites/9f86d081884c7d659a2feaa0c55ad015/")]
    pub api_url: String,
    #[schema(example = "2026-11-29T14:05:09.123Z")]
    pub expires_at: String,
    /// The largest number of uses; null means unlimited.
    #[schema(example = 5)]
    pub max_uses: Option<i64>,
    #[schema(example = 0)]
    pub uses: i64,
}

impl NewInvite {
    /// `base` is the scheme and host of the URLs.
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

/// An invite that can still be used. Its code is not stored, so it cannot be shown again.
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

/// A preview of the group that an invite is for.
#[derive(Serialize, ToSchema)]
pub struct Offer {
    /// The group's title, if it has one.
    #[schema(example = "Lunch")]
    pub title: Option<String>,
    pub invited_by: Inviter,
    #[schema(example = "2026-11-29T14:05:09.123Z")]
    pub expires_at: String,
}

/// The user who created the invite.
#[derive(Serialize, ToSchema)]
pub struct Inviter {
    #[schema(example = "ann")]
    pub username: String,
    #[schema(example = "Ann Lee")]
    pub name: String,
}

impl From<invites::InvitePreview> for Offer {
    fn from(preview: invites::InvitePreview) -> Self {
        Self {
            title: preview.title,
            invited_by: Inviter {
                username: preview.username,
                name: preview.name,
            },
            expires_at: format_time(&preview.expires_at),
        }
    }
}
