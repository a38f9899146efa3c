//! The skeletons of a username (UTS 39, section 4). Readers confuse two names that share a skeleton.
//!
//! An example is `admin`, and the same word with a Cyrillic `а`.
//!
//! The computation is in this crate, because a migration computes the skeletons of existing names. Migration and
//! accounts must have the same results.

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
/// Some letters look like seven others, and an index of PostgreSQL accepts 2704 bytes of a row.
const MAX_SKELETON_BYTES: usize = 1000;

/// Returns the holder of a name's skeletons, so that no other name can have them.
#[must_use]
pub fn holder<'a>(username: &str, key: &'a str) -> &'a str {
    if username.is_ascii() {
        ASCII_HOLDER
    } else {
        key
    }
}

/// Returns the skeletons of a name: as written, and with its letter case folded.
///
/// An ASCII name, which other names imitate, also has the skeleton of its capitals. The set is sorted, so that all
/// transactions take skeletons in the same order.
#[must_use]
pub fn compute(username: &str, key: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([case_folded_skeleton(username), case_folded_skeleton(key)]);
    if username.is_ascii() {
        forms.insert(case_folded_skeleton(&username.to_ascii_uppercase()));
    }
    forms
}

/// Returns the skeleton of a text in lower case: a Greek `Β` looks like a `B`, and a reader takes it for `b`.
///
/// The skeleton is computed twice, because some letters look like others only in lower case.
fn case_folded_skeleton(text: &str) -> String {
    let visual: String = skeleton(text).collect();
    let skeleton: String = skeleton(&visual.to_lowercase()).collect();
    if skeleton.len() <= MAX_SKELETON_BYTES {
        return skeleton;
    }
    // A name cannot have a colon.
    format!("sha256:{:x}", Sha256::digest(skeleton))
}
