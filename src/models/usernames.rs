//! Usernames and display names: their rules, and the key by which two usernames are the same.
//!
//! The rules use the crates of the Unicode tables directly. The profiles of PRECIS (RFC 8265) normalise to NFC and
//! map to lower case, so the keys of stored usernames would change.

use icu_casemap::CaseMapper;
use serde::Deserialize;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

const MAX_NAME_CHARS: usize = 150;

/// A username in its stored form: 1 to 150 letters, digits and `@ . + - _`, in NFKC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Username(String);

impl TryFrom<String> for Username {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl Username {
    /// Parses a username.
    ///
    /// # Errors
    /// A text for the user that states the broken rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name: String = text.nfkc().collect();
        match name.chars().count() {
            0 => return Err("This field may not be blank.".to_owned()),
            1..=MAX_NAME_CHARS => {}
            _ => {
                return Err(format!(
                    "Ensure this field has no more than {MAX_NAME_CHARS} characters."
                ));
            }
        }
        let begins_with_mark = name.chars().next().is_some_and(is_combining_mark);
        if begins_with_mark || !name.chars().all(is_username_char) {
            return Err("Enter a valid username: letters, digits and @ . + - _ only.".to_owned());
        }
        if !name.chars().any(is_letter_or_digit) {
            return Err("A username has at least one letter or digit.".to_owned());
        }
        Ok(Self(name))
    }

    /// Returns the stored form of a name that used to be a valid username: it has no letter and no digit.
    ///
    /// Such a name is no longer valid, because `.` and `..` have a meaning in paths. RFC 3986, section 5.2.4, removes
    /// them, so a request about a member would become a request about the group.
    #[must_use]
    pub fn parse_former(text: &str) -> Option<String> {
        let name: String = text.nfkc().collect();
        let is_former = (1..=MAX_NAME_CHARS).contains(&name.chars().count())
            && name.chars().all(is_username_char)
            && !name.chars().any(is_letter_or_digit);
        is_former.then_some(name)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key of the username: the same for all spellings that differ only in letter case.
    #[must_use]
    pub fn key(&self) -> String {
        username_key(&self.0)
    }
}

/// Returns the key of any text, to look up a text that may not be a valid username.
#[must_use]
pub fn username_key(text: &str) -> String {
    let name: String = text.nfkc().collect();
    // Case folding can leave NFKC (U+0345 becomes a letter), so the result is normalised again.
    CaseMapper::new().fold_string(&name).nfkc().collect()
}

/// A display name or a title in its stored form, by the rule of [`parse_display_name`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DisplayName(String);

impl TryFrom<String> for DisplayName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_display_name(&text).map(Self)
    }
}

impl From<DisplayName> for String {
    fn from(name: DisplayName) -> Self {
        name.0
    }
}

/// Returns a display name or a title in its stored form: trimmed, in NFC, 1 to 150 characters.
///
/// At least one character must be visible. Control characters are not allowed. Controls of the writing direction
/// (Unicode's `Bidi_Control`) are not allowed, because they would reverse the text next to the name.
///
/// # Errors
/// A text for the user that names the broken rule.
pub fn parse_display_name(text: &str) -> Result<String, String> {
    let name: String = text.trim().nfc().collect();
    let count = name.chars().count();
    if count > MAX_NAME_CHARS {
        return Err(format!(
            "Ensure this field has no more than {MAX_NAME_CHARS} characters."
        ));
    }
    if name.chars().any(is_control) {
        return Err("Control characters are not allowed.".to_owned());
    }
    if name.chars().any(is_direction_control) {
        return Err("Controls of the writing direction are not allowed.".to_owned());
    }
    if !name.chars().any(is_visible_alone) {
        return Err("This field may not be blank.".to_owned());
    }
    Ok(name)
}

/// Returns whether a username may contain the character: a letter, a decimal digit, a mark or one of `@ . + - _`.
///
/// Many scripts write a letter as a base and marks. So marks that do not enclose a letter are allowed.
fn is_username_char(c: char) -> bool {
    let is_mark = matches!(
        c.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark
    );
    (is_letter_or_digit(c) || is_mark || "@.+-_".contains(c)) && !is_invisible(c)
}

fn is_letter_or_digit(c: char) -> bool {
    let is_letter = c.general_category_group() == GeneralCategoryGroup::Letter;
    (is_letter || c.general_category() == GeneralCategory::DecimalNumber) && !is_invisible(c)
}

/// Returns whether a character is visible on a screen.
///
/// Separators, controls and Unicode's `Default_Ignorable_Code_Point` are not visible. A character that is newer than
/// the tables of this program, such as a new emoji, counts as visible.
#[must_use]
pub fn is_visible(c: char) -> bool {
    use GeneralCategoryGroup::Separator;
    let is_blank = c.general_category_group() == Separator
        || matches!(
            c.general_category(),
            GeneralCategory::Control | GeneralCategory::Format
        );
    // Some format characters of Arabic, Syriac and Kaithi are visible signs before a number.
    let is_sign = matches!(c,
        '\u{0600}'..='\u{0605}' | '\u{06DD}' | '\u{070F}' | '\u{0890}'..='\u{0891}' | '\u{08E2}'
        | '\u{110BD}' | '\u{110CD}');
    // The blank braille pattern, the object replacement character and the empty note head are symbols without an
    // image. Noncharacters have no image either.
    let is_empty = matches!(c, '\u{2800}' | '\u{FFFC}' | '\u{1D159}')
        || matches!(c, '\u{FDD0}'..='\u{FDEF}')
        || u32::from(c) & 0xFFFE == 0xFFFE;
    (!is_blank || is_sign) && !is_empty && !is_invisible(c)
}

/// Returns whether a character can identify a name in a list: it is visible and not just a mark.
fn is_visible_alone(c: char) -> bool {
    is_visible(c) && c.general_category_group() != GeneralCategoryGroup::Mark
}

/// Returns whether a character is a control character, or a line or paragraph separator.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns whether a character is in Unicode's `Bidi_Control`. The joiners U+200C and U+200D, which Persian needs, are
/// not in it.
fn is_direction_control(c: char) -> bool {
    matches!(c,
        '\u{061C}' | '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a letter or mark is invisible (Unicode's `Default_Ignorable_Code_Point`).
///
/// Two names with such characters could look the same.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{2065}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{E0000}'..='\u{E0FFF}')
}
