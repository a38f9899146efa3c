//! The secret that signs all tokens. An attacker who guesses the secret can act as any user.

use serde::Deserialize;

/// The least length. HMAC-SHA256 needs a key at least as long as its output (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The least number of guesses, as a power of two, of an attacker who tries samples, words and
/// patterns first.
///
/// It is slightly below 64 bits, the largest value that zxcvbn can return.
const MIN_GUESS_BITS: f64 = 63.9;

/// Texts that only public secrets contain.
const PUBLIC_SECRET_MARKERS: [&str; 2] = ["development-only", "insecure"];

/// The words of sample secrets, which add nothing to the strength of a secret.
///
/// Of words with the same beginning, the longest comes first.
const SAMPLE_WORDS: &str = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuv 0123456789abcdef \
    0123456789 1234567890 123456789 12345678 replaceme changethis changeme changeit change replace \
    placeholder production development passphrase password passwd default example sample secret \
    secure signing random string please should minimum characters character something anything \
    django rails laravel spring chat server salam token auth jwt key hmac sha256 hs256 test dummy \
    your this that with must have very long least bytes byte bits bit here super top my";

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
}

/// Returns the fault of a secret, with what to do. The text contains no part of the secret.
///
/// A secret needs 32 bytes in all environments. In production it also needs 64 bits. Two estimates
/// are made without the words of samples, and the lower one counts: zxcvbn's estimate, and the
/// Shannon entropy of the characters. 32 random bytes in hex or base64 are far above.
pub(super) fn secret_fault(secret: &str, in_production: bool) -> Option<String> {
    if secret.is_empty() {
        return Some(format!("JWT_SECRET is not set; {SECRET_HINT}"));
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Some(format!(
            "JWT_SECRET has {} bytes and needs at least {MIN_SECRET_BYTES}; {SECRET_HINT}",
            secret.len()
        ));
    }
    if !in_production {
        return None;
    }
    let lower = secret.to_lowercase();
    if PUBLIC_SECRET_MARKERS
        .iter()
        .any(|mark| lower.contains(mark))
    {
        return Some(format!(
            "JWT_SECRET is a public development value; {SECRET_HINT}"
        ));
    }
    (guess_bits(secret) < MIN_GUESS_BITS)
        .then(|| format!("JWT_SECRET is a sample, or too easy to guess; {SECRET_HINT}"))
}

/// Estimates the number of guesses that a secret withstands, as a power of two.
fn guess_bits(secret: &str) -> f64 {
    let own = strip_sample_words(secret);
    // zxcvbn ignores all characters after the first 100.
    let guesses = zxcvbn::zxcvbn(&own, &[]).guesses_log10() * std::f64::consts::LOG2_10;
    guesses.min(shannon_bits(&own))
}

/// Returns the secret without the words of samples and the separators between them.
fn strip_sample_words(secret: &str) -> String {
    // Only ASCII letters change, so each position is the same in both texts.
    let lower = secret.to_ascii_lowercase();
    let words: Vec<&str> = SAMPLE_WORDS.split_whitespace().collect();
    let mut own = String::new();
    let mut at = 0;
    while let (Some(rest), Some(next)) = (lower.get(at..), secret.get(at..)) {
        let Some(c) = next.chars().next() else { break };
        match words.iter().find(|word| rest.starts_with(**word)) {
            Some(word) => at += word.len(),
            None => {
                if !" -_.".contains(c) {
                    own.push(c);
                }
                at += c.len_utf8();
            }
        }
    }
    own
}

/// Returns the Shannon entropy of a text in bits, from the frequencies of its characters.
fn shannon_bits(text: &str) -> f64 {
    let mut counts = std::collections::HashMap::new();
    for c in text.chars() {
        *counts.entry(c).or_insert(0_u32) += 1;
    }
    let total: f64 = counts.values().copied().map(f64::from).sum();
    let bits = |count| -f64::from(count) * (f64::from(count) / total).log2();
    counts.values().copied().map(bits).sum()
}
