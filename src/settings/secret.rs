//! The secret that signs all tokens. An attacker who guesses the secret can act as any user.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, de::Error};
use sha2::Sha256;

/// The length of a derived key: the output of SHA-256.
const DERIVED_KEY_BYTES: usize = 32;

/// The least length. HMAC-SHA256 needs a key at least as long as its output (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The guesses that a secret must withstand by the estimate of zxcvbn, as a power of ten: 64 bits, the
/// largest number that zxcvbn estimates.
const MIN_GUESSES_LOG10: f64 = 19.25;

/// Texts that only public secrets contain.
const PUBLIC_SECRET_MARKERS: [&str; 2] = ["development-only", "insecure"];

/// Parts of sample secrets in manuals. Each has six letters or more, so that no random secret has one by
/// chance.
const SAMPLE_MARKERS: [&str; 10] = [
    "change",
    "default",
    "example",
    "password",
    "placeholder",
    "production",
    "random",
    "replace",
    "sample",
    "secret",
];

/// The hint with a command whose output always passes the checks.
const SECRET_HINT: &str = "generate a secret with `openssl rand -base64 48`";

/// A secret text. The type cannot be printed, so logs and error messages cannot contain the text.
#[derive(Clone, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns a key for one purpose: HMAC-SHA256 of the purpose under the secret (RFC 2104). The key does not reveal the
    /// secret, nor the keys for other purposes.
    #[must_use]
    pub fn derive_key(&self, purpose: &[u8]) -> [u8; DERIVED_KEY_BYTES] {
        hmac_sha256(self.0.as_bytes())
            .chain_update(purpose)
            .finalize()
            .into_bytes()
            .into()
    }
}

/// Returns the state of HMAC-SHA256 after a key.
#[must_use]
pub fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    // HMAC accepts a key of any length (RFC 2104, section 2), so the error case cannot occur.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// Secrets whose tokens are valid although another secret signs new tokens.
///
/// The configuration has a list, or a text. White space or commas separate the secrets of a text. A text that begins with
/// a bracket is a list of YAML.
#[derive(Clone, Default)]
pub struct AcceptedSecrets(Vec<Secret>);

impl AcceptedSecrets {
    /// Returns the secrets.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for AcceptedSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "neither a list of texts nor a text with spaces between the secrets"
        )]
        enum Form {
            Text(String),
            List(Vec<String>),
        }
        let secrets = match Form::deserialize(deserializer)? {
            Form::List(list) => list,
            Form::Text(text) if text.trim_start().starts_with('[') => {
                // The error of the parser could contain a part of a secret.
                serde_yaml_ng::from_str(&text)
                    .map_err(|_| D::Error::custom("begins with [ and is not a list of texts"))?
            }
            Form::Text(text) => {
                let parts = text.split(|c: char| c.is_whitespace() || c == ',');
                let parts = parts.filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            }
        };
        Ok(Self(secrets.into_iter().map(Secret).collect()))
    }
}

/// Returns the fault of a secret, with a remedy. The text contains no part of the secret. `name` is the variable of the
/// secret.
///
/// Every secret needs 32 bytes. In production, a secret also must withstand 2^64 guesses by the estimate of
/// zxcvbn. If it contains words of samples, one part without them must pass alone, such as the last part of
/// `my-secret-3f8a91c07be24d65a1f09c8e7d6b5a43`. 32 random bytes in hex or base64 pass.
pub(super) fn secret_fault(name: &str, secret: &str, in_production: bool) -> Option<String> {
    if secret.is_empty() {
        return Some(format!("{name} is not set; {SECRET_HINT}"));
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Some(format!(
            "{name} has {} bytes and needs at least {MIN_SECRET_BYTES}; {SECRET_HINT}",
            secret.len()
        ));
    }
    if !in_production {
        return None;
    }
    let lower = secret.to_lowercase();
    if PUBLIC_SECRET_MARKERS
        .iter()
        .any(|marker| lower.contains(marker))
    {
        return Some(format!(
            "{name} is a public development value; {SECRET_HINT}"
        ));
    }
    let own = own_part(secret);
    let is_weak = own.len() < MIN_SECRET_BYTES
        || zxcvbn::zxcvbn(own, &[]).guesses_log10() < MIN_GUESSES_LOG10;
    is_weak.then(|| format!("{name} is a sample, or too easy to guess; {SECRET_HINT}"))
}

/// Returns the secret if it has no word of a sample, or else its longest part without one.
fn own_part(secret: &str) -> &str {
    let is_sample = |part: &str| {
        let lower = part.to_lowercase();
        SAMPLE_MARKERS.iter().any(|marker| lower.contains(marker))
    };
    if !is_sample(secret) {
        return secret;
    }
    let parts = secret.split([' ', '-', '_', '.']);
    let own = parts.filter(|part| !is_sample(part));
    own.max_by_key(|part| part.len()).unwrap_or_default()
}
