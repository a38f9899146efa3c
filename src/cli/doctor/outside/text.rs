//! Texts of the server and of errors, made safe for a terminal.

use std::{error::Error, time::Duration};

use serde_json::Value;

use crate::errors;

/// The longest text of a server in a message, in characters.
const MAX_CHARS: usize = 160;

/// Returns a text of the server without control characters, and shortened.
///
/// A server may send anything, also codes that change the terminal.
pub fn foreign(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.trim().chars().take(MAX_CHARS).map(visible).collect();
    if text.trim().chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns a text of an object, or an empty text if the object lacks it.
pub fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the last cause of an error, which is the most exact one.
pub fn root_cause(error: &dyn Error) -> String {
    foreign(&errors::root_cause(error))
}

/// Describes a duration in whole milliseconds.
pub fn describe_millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_servers_cannot_control_the_terminal() {
        assert_eq!(foreign(" a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb");
        let long = foreign(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_CHARS + 1);
    }
}
