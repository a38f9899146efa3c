//! Responses about accounts and tokens.

use serde::Serialize;
use utoipa::ToSchema;

use crate::models::users;

/// A new account.
#[derive(Serialize, ToSchema)]
pub struct Registered {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "Nora Lind")]
    pub name: String,
    /// The stored form of the username, normalized by NFKC.
    #[schema(example = "nora")]
    pub username: String,
}

impl From<users::Model> for Registered {
    fn from(user: users::Model) -> Self {
        Self {
            id: user.id,
            name: user.name,
            username: user.username,
        }
    }
}

/// The tokens of a login.
#[derive(Serialize, ToSchema)]
pub struct TokenPair {
    /// The access token. It authenticates requests by `Authorization: Bearer …`, and base sockets
    /// by the cookie `access`.
    #[schema(
        example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2ln"
    )]
    pub access: String,
    /// The refresh token, which a client exchanges for new access tokens.
    #[schema(
        example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln"
    )]
    pub refresh: String,
}

/// A new access token.
#[derive(Serialize, ToSchema)]
pub struct AccessToken {
    #[schema(
        example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2ln"
    )]
    pub access: String,
    /// A new refresh token, if `rotate` of the request is `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refresh: Option<String>,
}
