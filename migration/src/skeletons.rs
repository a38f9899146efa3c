//! What a username looks like: its skeletons (UTS 39, section 4). Two names that have one in common
//! are taken for one another by whoever reads them: `admin`, and the same with a Cyrillic `а`.
//!
//! Here, and not with the accounts, because the migration takes those of the names that are there
//! already: both must find the same.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use unicode_security::skeleton;

/// Whose skeletons those of all ASCII names are.
///
/// Two names of ASCII alone are never held to look alike: by UTS 39 `modem` would be `modern`, and
/// `user1` `userl`. People type these, and see the difference in most fonts; whole teams are numbered
/// like that.
pub const ASCII_HOLDER: &str = "";

/// Bytes of a skeleton that are kept as they are. Some letters look like seven others, and an index
/// of PostgreSQL takes 2704 bytes of a row.
const MAX_SKELETON_BYTES: usize = 1000;

/// Whose skeletons those of a name are, so that they cannot be somebody else's too.
#[must_use]
pub fn holder<'a>(username: &str, key: &'a str) -> &'a str {
    if username.is_ascii() {
        ASCII_HOLDER
    } else {
        key
    }
}

/// The skeletons of a name, as it is written and with its letter case folded; of one in ASCII, which
/// others imitate, in capitals too. In order, so that who takes several takes them in the same.
#[must_use]
pub fn compute(username: &str, key: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([case_folded_skeleton(username), case_folded_skeleton(key)]);
    if username.is_ascii() {
        forms.insert(case_folded_skeleton(&username.to_ascii_uppercase()));
    }
    forms
}

/// The skeleton without its letter case: a Greek `Β` looks like a `B`, and who reads that looks for
/// `b`. It is taken twice, because of what looks like something else in small letters alone.
fn case_folded_skeleton(text: &str) -> String {
    let shown: String = skeleton(text).collect();
    let skeleton: String = skeleton(&shown.to_lowercase()).collect();
    if skeleton.len() <= MAX_SKELETON_BYTES {
        return skeleton;
    }
    // No name has a colon.
    format!("sha256:{:x}", Sha256::digest(skeleton))
}
