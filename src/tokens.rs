//! Access and refresh tokens: signed, typed, short-lived.
//!
//! The algorithm is fixed to HS256 in code, whatever a token's header says (RFC 8725, section 3.1),
//! and a token of one type is never taken for the other (section 3.11).

use std::time::Duration;

use chrono::Utc;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::settings::TokenSettings;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Opens the API and the socket.
    Access,
    /// Buys new access tokens.
    Refresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    token_type: TokenType,
    /// Seconds since 1970, like `iat`.
    exp: i64,
    iat: i64,
    jti: String,
    /// A number as text, as clients of simplejwt expect it.
    user_id: String,
    iss: String,
    aud: String,
}

/// Why a token opens nothing. Which of the many reasons it was is nobody's business outside.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is invalid or expired")]
pub struct Invalid;

/// Why a token opens nothing, to somebody who has shown who they are by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was good once.
    Expired,
    Invalid,
}

/// How long somebody may stay by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub user_id: i64,
    /// Seconds since 1970: when the refresh token that was issued with this one, or bought it, ends
    /// at the earliest.
    pub ends_at: i64,
}

impl Session {
    /// Seconds until the end; 0 after it.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        (self.ends_at - Utc::now().timestamp()).max(0)
    }

    /// The same, to wait for.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.expires_in()).unwrap_or(0))
    }
}

/// Issues and verifies the tokens of one installation.
#[derive(Clone)]
pub struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    settings: TokenSettings,
}

impl Tokens {
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        let secret = settings.secret.expose().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = settings.leeway;
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            validation,
            settings: settings.clone(),
        }
    }

    /// How long a token of this type lives, in seconds.
    #[must_use]
    pub fn lifetime(&self, token_type: TokenType) -> i64 {
        i64::from(match token_type {
            TokenType::Access => self.settings.access_lifetime,
            TokenType::Refresh => self.settings.refresh_lifetime,
        })
    }

    /// Signs a new token for a user.
    ///
    /// # Errors
    /// When the library cannot sign, which a key of any length and these claims never cause.
    pub fn issue(&self, token_type: TokenType, user_id: i64) -> Result<String, Error> {
        let now = Utc::now().timestamp();
        let claims = Claims {
            token_type,
            exp: now + self.lifetime(token_type),
            iat: now,
            jti: Uuid::new_v4().simple().to_string(),
            user_id: user_id.to_string(),
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// The id of the user whose live token of this type it is.
    ///
    /// # Errors
    /// [`Invalid`] for anything else.
    pub fn verify(&self, token_type: TokenType, token: &str) -> Result<i64, Invalid> {
        let session = self.session(token_type, token).map_err(|_| Invalid)?;
        Ok(session.user_id)
    }

    /// The session that a live token of this type opens.
    ///
    /// # Errors
    /// [`Refused`] for anything else.
    pub fn session(&self, token_type: TokenType, token: &str) -> Result<Session, Refused> {
        let claims = decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Refused::Expired,
                _ => Refused::Invalid,
            })?
            .claims;
        if claims.token_type != token_type {
            return Err(Refused::Invalid);
        }
        // On its expiry a token is expired (RFC 7519, section 4.1.4); the library takes it a second
        // longer.
        if claims.exp.saturating_add_unsigned(self.settings.leeway) <= Utc::now().timestamp() {
            return Err(Refused::Expired);
        }
        Ok(Session {
            user_id: claims.user_id.parse().map_err(|_| Refused::Invalid)?,
            ends_at: claims.iat.saturating_add(self.lifetime(TokenType::Refresh)),
        })
    }
}
