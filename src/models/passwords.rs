//! Passwords: the rules for new ones, and their hashes.
//!
//! Expensive work runs on the hashing threads, see [`hashing`](super::hashing).

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, Output, ParamsString, PasswordHash, Salt, SaltString, rand_core::OsRng},
};
use rand::seq::IndexedRandom;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::hashing::{HashMemory, HashingBusy, Requester, run_queued};

/// The shortest and the longest password, in code points after NFC (NIST SP 800-63B, section 5.1.1.2).
const MIN_PASSWORD_CHARS: usize = 8;
const MAX_PASSWORD_CHARS: usize = 128;

/// The number of guesses below which a password counts as common.
const COMMON_PASSWORD_GUESSES: u64 = 10_000;

/// The number of characters of a password that are scored at once.
///
/// The time of zxcvbn grows exponentially with the characters that may stand for letters. It needs at most 35 ms
/// for 24 characters and 0.7 s for 100, measured with passwords made for this purpose.
const SCORED_CHARS: usize = 24;

/// The characters that are not confused with others when read aloud.
const UNAMBIGUOUS_CHARS: [char; 31] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// The hash to compare with for an unknown user, so that the comparison takes the same time.
static DUMMY_HASH: LazyLock<String> = LazyLock::new(|| {
    hash_blocking("nobody has this password", &mut HashMemory::default()).unwrap_or_default()
});

/// A password as it is hashed: in NFC, so that all keyboards give the same bytes.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Password(String);

impl TryFrom<String> for Password {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

/// The reasons why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error(transparent)]
    Busy(#[from] HashingBusy),
    #[error("hashing failed: {0}")]
    Hash(#[from] password_hash::Error),
}

impl Password {
    /// Parses a new password. Only its length is checked.
    ///
    /// # Errors
    /// A text for the user that states the broken rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let password = Self::from_input(text);
        match password.0.chars().count() {
            ..MIN_PASSWORD_CHARS => Err(format!(
                "Ensure this field has at least {MIN_PASSWORD_CHARS} characters."
            )),
            MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS => Ok(password),
            _ => Err(format!(
                "Ensure this field has no more than {MAX_PASSWORD_CHARS} characters."
            )),
        }
    }

    /// Returns a random password: 20 letters and digits, about 98 bits, in four groups.
    #[must_use]
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let groups: [String; 4] = std::array::from_fn(|_| {
            (0..5)
                .filter_map(|_| UNAMBIGUOUS_CHARS.choose(&mut rng).copied())
                .collect()
        });
        Self(groups.join("-"))
    }

    /// Returns the password in plain text, to show it to its user.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether an attacker who knows `user_inputs` about the user would guess the password early.
    ///
    /// The check runs on the hashing threads, for 70 ms at most.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn is_common(
        &self,
        requester: Requester,
        user_inputs: Vec<String>,
    ) -> Result<bool, PasswordError> {
        let password = self.0.clone();
        Ok(run_queued(requester, move |_| {
            is_common_blocking(&password, &user_inputs)
        })
        .await?)
    }

    /// Returns the password that a user entered to log in. No rule is checked.
    #[must_use]
    pub fn from_input(text: &str) -> Self {
        Self(text.nfc().collect())
    }

    /// Returns the hash to store, in PHC string format.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn hash(self, requester: Requester) -> Result<String, PasswordError> {
        Ok(run_queued(requester, move |memory| hash_blocking(&self.0, memory)).await??)
    }

    /// Returns whether `hash` is a hash of this password.
    ///
    /// Without a hash, the result is `false`, after the same time.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn matches(
        self,
        requester: Requester,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let matches = run_queued(requester, move |memory| {
            let is_known = hash.is_some();
            verify_blocking(&self.0, hash.as_deref().unwrap_or(&DUMMY_HASH), memory) && is_known
        });
        Ok(matches.await?)
    }
}

/// Scores the first characters, and also the last characters unless the first are weak already.
///
/// The length counts too: a password of twice the length takes twice as many guesses.
fn is_common_blocking(password: &str, user_inputs: &[String]) -> bool {
    let user_inputs: Vec<&str> = user_inputs.iter().map(String::as_str).collect();
    let count = password.chars().count();
    let part_count = count.div_ceil(SCORED_CHARS).max(1) as u64;
    let is_weak = |part: String| {
        let guesses = zxcvbn::zxcvbn(&part, &user_inputs).guesses();
        guesses.saturating_mul(part_count) < COMMON_PASSWORD_GUESSES
    };
    let first = password.chars().take(SCORED_CHARS).collect();
    let last = || password.chars().skip(count.saturating_sub(SCORED_CHARS));
    is_weak(first) && (count <= SCORED_CHARS || is_weak(last().collect()))
}

fn hash_blocking(password: &str, memory: &mut HashMemory) -> Result<String, password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    let argon2 = Argon2::default();
    let hash = hash_raw(&argon2, password, salt.as_salt(), memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(salt.as_salt()),
        hash: Some(hash),
    };
    Ok(hash.to_string())
}

fn verify_blocking(password: &str, hash: &str, memory: &mut HashMemory) -> bool {
    let recomputed = PasswordHash::new(hash).and_then(|stored| {
        let algorithm = Algorithm::try_from(stored.algorithm)?;
        let version = stored
            .version
            .map_or(Ok(Version::default()), Version::try_from)?;
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored)?);
        let salt = stored.salt.ok_or(password_hash::Error::Password)?;
        let computed = hash_raw(&argon2, password, salt, memory)?;
        // The comparison takes the same time for all differences.
        Ok(stored.hash == Some(computed))
    });
    recomputed.unwrap_or(false)
}

fn hash_raw(
    argon2: &Argon2<'_>,
    password: &str,
    salt: Salt<'_>,
    memory: &mut HashMemory,
) -> Result<Output, password_hash::Error> {
    let mut bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut bytes)?;
    let length = argon2.params().output_len();
    let blocks = memory.blocks(argon2.params().block_count());
    Output::init_with(length.unwrap_or(Params::DEFAULT_OUTPUT_LEN), |output| {
        Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks)?)
    })
}
