//! The secret that signs every token: whoever guesses it is anybody.

use serde::Deserialize;

/// HMAC-SHA256 wants a key of at least its own output, 32 bytes (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// What a guesser who tries samples, words and patterns first should at least need (as a power of
/// two); more than zxcvbn can tell of.
const MIN_GUESS_BITS: f64 = 63.9;

/// No secret with one of these in it was made to be kept.
const PUBLIC_SECRET_MARKERS: [&str; 2] = ["development-only", "insecure"];

/// What samples are made of, the longest of those that begin alike first. It is worth nothing.
const SAMPLE_WORDS: &str = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuv 0123456789abcdef \
    0123456789 1234567890 123456789 12345678 replaceme changethis changeme changeit change replace \
    placeholder production development passphrase password passwd default example sample secret \
    secure signing random string please should minimum characters character something anything \
    django rails laravel spring chat server salam token auth jwt key hmac sha256 hs256 test dummy \
    your this that with must have very long least bytes byte bits bit here super top my";

/// Makes one that always passes.
const SECRET_HINT: &str = "`openssl rand -base64 48` makes a good one";

/// A text that no log and no error message shows: it cannot be printed.
#[derive(Clone, Deserialize)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a secret, and how to mend it; never with any part of it.
///
/// Everywhere it needs 32 bytes. In production also 64 bits by the lower of two estimates, that of
/// zxcvbn and that of Shannon's entropy of its characters, both without the words of which samples
/// are made. 32 random bytes, in hex or base64, are far above.
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
            "JWT_SECRET is a public development value; {SECRET_HINT} of your own"
        ));
    }
    (guess_bits(secret) < MIN_GUESS_BITS)
        .then(|| format!("JWT_SECRET is a sample, or too easy to guess; {SECRET_HINT}"))
}

/// An estimate of how many guesses a secret withstands, as a power of two.
fn guess_bits(secret: &str) -> f64 {
    let own = strip_sample_words(secret);
    // What is over 100 characters zxcvbn does not look at.
    let guesses = zxcvbn::zxcvbn(&own, &[]).guesses_log10() * std::f64::consts::LOG2_10;
    guesses.min(shannon_bits(&own))
}

/// The secret without the words of samples and what stands between them.
fn strip_sample_words(secret: &str) -> String {
    // ASCII alone, so that every position means the same in both.
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

/// The entropy of a text whose characters are drawn as often as they are found in it, in bits.
fn shannon_bits(text: &str) -> f64 {
    let mut counts = std::collections::HashMap::new();
    for c in text.chars() {
        *counts.entry(c).or_insert(0_u32) += 1;
    }
    let total: f64 = counts.values().copied().map(f64::from).sum();
    let bits = |count| -f64::from(count) * (f64::from(count) / total).log2();
    counts.values().copied().map(bits).sum()
}
