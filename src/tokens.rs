//! Signs and verifies access and refresh tokens: typed, short-lived, and valid as long as their
//! session.
//!
//! The algorithm is fixed to HS256 in code: the header of a token cannot select another one (RFC
//! 8725, section 3.1). A token of one type is never accepted as the other type (section 3.11).
//!
//! An operator replaces the secret without ending sessions: tokens of the accepted secrets stay valid. While there are
//! several secrets, each new token names its secret (`kid`, RFC 7515, section 4.1.4).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{Duration, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode, encode,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    models::sessions::{ActiveSession, RefreshId, TokenClaims, UnsignedRefreshToken},
    settings::{Secret, TokenSettings},
};

/// The purpose of the key ids. No other use of a secret yields the same codes.
const KEY_ID_PURPOSE: &[u8] = b"salam key id 1";

/// The length of a key id before its encoding. An id only has to tell a few secrets apart.
const KEY_ID_BYTES: usize = 9;

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
    /// The header of new tokens.
    header: Header,
    /// The keys of all accepted secrets. The first one signs.
    keys: Vec<VerifyingKey>,
    validation: Validation,
    settings: TokenSettings,
}

/// The key that verifies the tokens of one secret.
#[derive(Clone)]
struct VerifyingKey {
    id: String,
    key: DecodingKey,
}

impl VerifyingKey {
    fn new(secret: &Secret) -> Self {
        let id = secret.derive_key(KEY_ID_PURPOSE).into_iter();
        let id: Vec<u8> = id.take(KEY_ID_BYTES).collect();
        Self {
            id: BASE64_URL_SAFE_NO_PAD.encode(id),
            key: DecodingKey::from_secret(secret.expose().as_bytes()),
        }
    }
}

impl Tokens {
    /// Takes keys and claims from the settings.
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        let secrets = std::iter::once(&settings.secret).chain(settings.accepted_secrets.iter());
        let keys: Vec<_> = secrets.map(VerifyingKey::new).collect();
        let mut header = Header::new(Algorithm::HS256);
        // Versions before 0.2.0 refuse a token with an id. They have a single secret.
        if keys.len() > 1 {
            header.kid = keys.first().map(|key| key.id.clone());
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = settings.leeway;
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        Self {
            signing_key: EncodingKey::from_secret(settings.secret.expose().as_bytes()),
            header,
            keys,
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
        encode(&self.header, &claims, &self.signing_key)
    }

    /// Returns the claims and the header without `kid`, if an accepted secret has signed the token. A token without `kid`
    /// may be of any accepted secret.
    fn decode(&self, token: &str) -> Result<TokenData<Claims>, TokenError> {
        for VerifyingKey { id, key } in &self.keys {
            match decode::<Claims>(token, key, &self.validation) {
                Ok(mut data) => {
                    let named = data.header.kid.take();
                    return match named.is_none_or(|named| named == *id) {
                        true => Ok(data),
                        false => Err(TokenError::Invalid),
                    };
                }
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => {}
                    ErrorKind::ExpiredSignature => return Err(TokenError::Expired),
                    _ => return Err(TokenError::Invalid),
                },
            }
        }
        Err(TokenError::Invalid)
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
        let TokenData { header, claims } = self.decode(token)?;
        let now = Utc::now().timestamp();
        // Another header has extensions that the library does not support, or a key of its own (RFC
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
