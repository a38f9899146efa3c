//! Passwords: which are good enough, and how they are hashed.
//!
//! What takes long is done in its turn, see [`hashing`](super::hashing).

use std::sync::LazyLock;

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{self, PasswordHash, SaltString, rand_core::OsRng},
};
use rand::seq::IndexedRandom;
use unicode_normalization::UnicodeNormalization;

use super::hashing::{Busy, in_turn};

/// Code points after NFC (NIST SP 800-63B, section 5.1.1.2).
const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 128;

/// A password that a guesser would try this early counts as one of the most common.
const COMMON_BELOW_GUESSES: u64 = 10_000;

/// What nobody takes for something else when it is read out.
const LEGIBLE: [char; 31] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// What an unknown user's password is compared with, so that it takes as long as a known one's.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash_now("nobody has this password").unwrap_or_default());

/// A password in the form that is hashed: NFC, so that all keyboards make the same bytes.
#[derive(Clone)]
pub struct Password(String);

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("hashing failed: {0}")]
    Hash(#[from] password_hash::Error),
}

impl Password {
    /// A new password, as far as its length goes.
    ///
    /// # Errors
    /// A text for the user that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let password = Self::given(text);
        match password.0.chars().count() {
            ..MIN_CHARS => Err(format!(
                "Ensure this field has at least {MIN_CHARS} characters."
            )),
            MIN_CHARS..=MAX_CHARS => Ok(password),
            _ => Err(format!(
                "Ensure this field has no more than {MAX_CHARS} characters."
            )),
        }
    }

    /// One that nobody guesses: 20 letters and digits, some 98 bits, in four groups.
    #[must_use]
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let groups: [String; 4] = std::array::from_fn(|_| {
            (0..5)
                .filter_map(|_| LEGIBLE.choose(&mut rng).copied())
                .collect()
        });
        Self(groups.join("-"))
    }

    /// To show it to whom it is given.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is among the first that a guesser would try who knows this about the user. Takes
    /// its turn, as hashing does: a long password may take as long.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when there is no turn for it.
    pub async fn is_common(&self, about: Vec<String>) -> Result<bool, PasswordError> {
        let password = self.0.clone();
        let common = in_turn(move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            zxcvbn::zxcvbn(&password, &about).guesses() < COMMON_BELOW_GUESSES
        });
        Ok(common.await?)
    }

    /// A password as somebody gave it to log in.
    #[must_use]
    pub fn given(text: &str) -> Self {
        Self(text.nfc().collect())
    }

    /// The hash to store, in PHC string format.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when there is no turn for it.
    pub async fn hash(self) -> Result<String, PasswordError> {
        Ok(in_turn(move || hash_now(&self.0)).await??)
    }

    /// Whether this password made that hash. Without a hash it takes as long and is never true.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when there is no turn for it.
    pub async fn matches(self, hash: Option<String>) -> Result<bool, PasswordError> {
        let matches = in_turn(move || {
            let known = hash.is_some();
            verify_now(&self.0, hash.as_deref().unwrap_or(&NOBODY)) && known
        });
        Ok(matches.await?)
    }
}

fn hash_now(password: &str) -> Result<String, password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(Argon2::default()
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}

fn verify_now(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|parsed| {
        Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok()
    })
}
