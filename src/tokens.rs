//! Access and refresh tokens: signed, typed, short-lived, and worth as much as their session.
//!
//! The algorithm is fixed to HS256 in code, whatever a token's header says (RFC 8725, section 3.1),
//! and a token of one type is never taken for the other (section 3.11).

use chrono::{Duration, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode, encode,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    models::sessions::{ActiveSession, RefreshId, TokenClaims, UnsignedRefreshToken},
    settings::TokenSettings,
};

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
    jti: Uuid,
    /// The session.
    sid: Uuid,
    /// The generation of the session's tokens; left out where it is 0, before the first password change.
    #[serde(rename = "gen", skip_serializing_if = "is_zero", default)]
    generation: i64,
    /// Of a refresh token: the one that was rotated for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    parent: Option<Uuid>,
    /// A number as text, as clients of simplejwt expect it.
    user_id: String,
    iss: String,
    aud: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Why a token opens nothing. Which of the many reasons it was is told at most to somebody who has
/// shown who they are by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It was good once.
    Expired,
    Invalid,
}

/// Issues and verifies the tokens of one installation.
#[derive(Clone)]
pub struct Tokens {
    signing_key: EncodingKey,
    verifying_key: DecodingKey,
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
        validation.validate_nbf = true;
        Self {
            signing_key: EncodingKey::from_secret(secret),
            verifying_key: DecodingKey::from_secret(secret),
            validation,
            settings: settings.clone(),
        }
    }

    /// How long a token of this type lives; and a session, from each refresh on, as a refresh token.
    #[must_use]
    pub fn lifetime(&self, token_type: TokenType) -> Duration {
        Duration::seconds(i64::from(match token_type {
            TokenType::Access => self.settings.access_lifetime,
            TokenType::Refresh => self.settings.refresh_lifetime,
        }))
    }

    /// Signs an access token of a session.
    ///
    /// # Errors
    /// When the library cannot sign, which a key of any length and these claims never cause.
    pub fn issue_access(&self, session: &ActiveSession) -> Result<String, Error> {
        self.sign(
            TokenType::Access,
            session,
            UnsignedRefreshToken::issue_now(RefreshId::for_login()),
        )
    }

    /// Signs a refresh token of a session. A token with the same id and time is the same text.
    ///
    /// # Errors
    /// When the library cannot sign, which a key of any length and these claims never cause.
    pub fn issue_refresh(
        &self,
        session: &ActiveSession,
        token: UnsignedRefreshToken,
    ) -> Result<String, Error> {
        self.sign(TokenType::Refresh, session, token)
    }

    fn sign(
        &self,
        token_type: TokenType,
        session: &ActiveSession,
        token: UnsignedRefreshToken,
    ) -> Result<String, Error> {
        let issued_at = token.issued_at.timestamp();
        let claims = Claims {
            token_type,
            exp: issued_at + self.lifetime(token_type).num_seconds(),
            iat: issued_at,
            jti: token.id.jti,
            sid: session.id,
            generation: session.generation,
            parent: token.id.parent,
            user_id: session.user_id.to_string(),
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)
    }

    /// Returns the claims of a valid token of this type. Only the database knows whether its session lives.
    ///
    /// A token that was issued in the future is valid: the clock of the node that issued it was ahead, or that
    /// of this node was set back (RFC 7519, section 4.1.6, asks for no check of `iat`).
    ///
    /// # Errors
    /// [`Refused`] for anything else.
    pub fn verify(&self, token_type: TokenType, token: &str) -> Result<TokenClaims, TokenError> {
        let TokenData { header, claims } =
            decode::<Claims>(token, &self.verifying_key, &self.validation).map_err(|error| {
                match error.kind() {
                    ErrorKind::ExpiredSignature => TokenError::Expired,
                    _ => TokenError::Invalid,
                }
            })?;
        let now = Utc::now().timestamp();
        // Another header has extensions that the library does not know, or names a key (RFC 7515, section
        // 4.1.11; RFC 8725, sections 3.10 and 3.11).
        let is_our_header = header == Header::new(Algorithm::HS256);
        // Longer lives a token from before a shorter lifetime was set: an operator who sets it means those too.
        let longest = self.lifetime(token_type).num_seconds();
        let lives_for = claims.exp.checked_sub(claims.iat);
        let is_our_lifetime = lives_for.is_some_and(|seconds| (0..=longest).contains(&seconds));
        if claims.token_type != token_type || !is_our_header || !is_our_lifetime {
            return Err(TokenError::Invalid);
        }
        // On its expiry a token is expired (RFC 7519, section 4.1.4). The library takes it a second longer.
        if claims.exp.saturating_add_unsigned(self.settings.leeway) <= now {
            return Err(TokenError::Expired);
        }
        Ok(TokenClaims {
            user_id: claims.user_id.parse().map_err(|_| TokenError::Invalid)?,
            session_id: claims.sid,
            generation: claims.generation,
            refresh: RefreshId {
                jti: claims.jti,
                parent: claims.parent,
            },
        })
    }
}
