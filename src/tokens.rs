//! Signs and verifies access and refresh tokens: typed, short-lived, and valid as long as their
//! session.
//!
//! The algorithm is fixed to HS256 in code: the header of a token cannot select another one (RFC
//! 8725, section 3.1). A token of one type is never accepted as the other type (section 3.11).

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

/// The type of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Authenticates requests and sockets.
    Access,
    /// Is exchanged for new access tokens.
    Refresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    token_type: TokenType,
    /// The expiry in seconds since 1970, like `iat`.
    exp: i64,
    iat: i64,
    jti: Uuid,
    /// The id of the session.
    sid: Uuid,
    /// The generation of the session's tokens. It is omitted while it is 0, before the first
    /// password change.
    #[serde(rename = "gen", skip_serializing_if = "is_zero", default)]
    generation: i64,
    /// The predecessor of a refresh token, which was rotated for this token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    parent: Option<Uuid>,
    /// The id of the user as text, as clients of simplejwt expect.
    user_id: String,
    iss: String,
    aud: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The reason why a token is not valid.
///
/// The exact reason is reported at most to a client that has another valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// The token was valid once.
    Expired,
    /// The token was never valid here, or it is malformed.
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
    /// Takes keys and claims from the settings.
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

    /// Returns the lifetime of a token of this type.
    ///
    /// A session lives as long as its last refresh token.
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

    /// Returns the claims of a valid token of this type. The database decides whether the session
    /// is active.
    ///
    /// A token that was issued in the future is valid. The clock of its node was ahead, or the
    /// clock of this node was set back. RFC 7519, section 4.1.6, requires no check of `iat`.
    ///
    /// # Errors
    /// [`TokenError`] for any other token.
    pub fn verify(&self, token_type: TokenType, token: &str) -> Result<TokenClaims, TokenError> {
        let TokenData { header, claims } =
            decode::<Claims>(token, &self.verifying_key, &self.validation).map_err(|error| {
                match error.kind() {
                    ErrorKind::ExpiredSignature => TokenError::Expired,
                    _ => TokenError::Invalid,
                }
            })?;
        let now = Utc::now().timestamp();
        // Another header has extensions that the library does not support, or names a key (RFC
        // 7515, section 4.1.11; RFC 8725, sections 3.10 and 3.11).
        let has_expected_header = header == Header::new(Algorithm::HS256);
        // A longer lifetime belongs to a token from before the operator shortened the setting. The
        // setting applies to old tokens too.
        let max_lifetime = self.lifetime(token_type).num_seconds();
        let lifetime = claims.exp.checked_sub(claims.iat);
        let has_valid_lifetime =
            lifetime.is_some_and(|seconds| (0..=max_lifetime).contains(&seconds));
        if claims.token_type != token_type || !has_expected_header || !has_valid_lifetime {
            return Err(TokenError::Invalid);
        }
        // A token is expired at its expiry time (RFC 7519, section 4.1.4). The library accepts it a
        // second longer.
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
