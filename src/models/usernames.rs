//! Usernames and display names: what may be one, and when two are the same.

use icu_casemap::CaseMapper;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

const MAX_CHARS: usize = 150;

/// A username in its stored form: NFKC-normalised, 1 to 150 letters, digits and `@ . + - _`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// # Errors
    /// A text for the user that says what a username is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name: String = text.nfkc().collect();
        match name.chars().count() {
            0 => return Err("This field may not be blank.".to_owned()),
            1..=MAX_CHARS => {}
            _ => {
                return Err(format!(
                    "Ensure this field has no more than {MAX_CHARS} characters."
                ));
            }
        }
        let begins_with_mark = name.chars().next().is_some_and(is_combining_mark);
        if begins_with_mark || !name.chars().all(is_allowed) {
            return Err("Enter a valid username: letters, digits and @ . + - _ only.".to_owned());
        }
        Ok(Self(name))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for all spellings that differ in letter case alone.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.0)
    }
}

/// The key of any text, for looking up what may or may not be a username.
#[must_use]
pub fn key(text: &str) -> String {
    let name: String = text.nfkc().collect();
    // Folding can leave NFKC (U+0345 becomes a letter), so it is normalised once more.
    CaseMapper::new().fold_string(&name).nfkc().collect()
}

/// A display name: trimmed, NFC-normalised, 1 to 150 characters without control characters.
///
/// # Errors
/// A text for the user that says what is wrong.
pub fn parse_display_name(text: &str) -> Result<String, String> {
    let name: String = text.trim().nfc().collect();
    match name.chars().count() {
        0 => Err("This field may not be blank.".to_owned()),
        1..=MAX_CHARS if name.chars().any(char::is_control) => {
            Err("Control characters are not allowed.".to_owned())
        }
        1..=MAX_CHARS => Ok(name),
        _ => Err(format!(
            "Ensure this field has no more than {MAX_CHARS} characters."
        )),
    }
}

/// Letters and decimal digits. Many scripts write letters as a base and marks, so marks that do not
/// enclose a letter belong to it.
fn is_allowed(c: char) -> bool {
    let is_written = c.general_category_group() == GeneralCategoryGroup::Letter
        || matches!(
            c.general_category(),
            GeneralCategory::DecimalNumber
                | GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
        );
    (is_written || "@.+-_".contains(c)) && !is_invisible(c)
}

/// Letters and marks that show nothing (Unicode's `Default_Ignorable_Code_Point`): with them two
/// names could look the same.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{E0100}'..='\u{E01EF}')
}
