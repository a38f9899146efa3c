//! The skeletons of a username (UTS 39, section 4). Readers confuse two names that share a skeleton.
//!
//! An example is `admin`, and the same word with a Cyrillic `а`.
//!
//! The computation is in this crate, because a migration computes the skeletons of existing names. The migration and
//! the registration must compute the same skeletons.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use unicode_security::skeleton;

/// The holder of the skeletons of all ASCII names.
///
/// Two ASCII names never count as alike. By UTS 39, `modem` would equal `modern`, and `user1` would equal `userl`.
/// People type these names and see the difference in most fonts, and whole teams have numbered names.
pub const ASCII_HOLDER: &str = "";

/// The largest skeleton that is stored as it is, in bytes. A longer skeleton is stored as a hash.
///
/// The skeleton of one letter has up to 7 characters and 21 bytes, so 150 letters have up to 3150 bytes. An index of
/// PostgreSQL accepts 2704 bytes of a row.
const MAX_SKELETON_BYTES: usize = 1000;

/// Returns the holder of a name's skeletons: [`ASCII_HOLDER`] for an ASCII name, the key of any other name.
///
/// Only names with the same holder can share a skeleton. `key` is the username with its letter case folded.
#[must_use]
pub fn holder<'a>(username: &str, key: &'a str) -> &'a str {
    if username.is_ascii() {
        ASCII_HOLDER
    } else {
        key
    }
}

/// Returns the skeletons of a name: that of the name as written, and that of its key.
///
/// `key` is the username with its letter case folded. An ASCII name also has the skeleton of its capitals, so that no
/// name with foreign capitals imitates it: `admin` also reserves the skeleton of `ADMIN`. The set is sorted, so that
/// all transactions take skeletons in the same order.
#[must_use]
pub fn compute(username: &str, key: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([lowercase_skeleton(username), lowercase_skeleton(key)]);
    if username.is_ascii() {
        forms.insert(lowercase_skeleton(&username.to_ascii_uppercase()));
    }
    forms
}

/// Returns the skeleton of a text in lower case: a Greek `Β` looks like a `B`, and a reader takes it for `b`.
///
/// The skeleton is computed twice, because some letters look like others only in lower case.
fn lowercase_skeleton(text: &str) -> String {
    let visual: String = skeleton(text).collect();
    let skeleton: String = skeleton(&visual.to_lowercase()).collect();
    if skeleton.len() <= MAX_SKELETON_BYTES {
        return skeleton;
    }
    // A skeleton has neither `0` nor `1`, which become `o` and `l`. Nearly every hash has one of the two digits, so a hash
    // does not equal the skeleton of another name. The prefix alone does not ensure this: `ː` has the skeleton `:`.
    format!("sha256:{:x}", Sha256::digest(skeleton))
}
