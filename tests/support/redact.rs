//! Redaction for snapshots. Values that differ from run to run are checked, and then replaced.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::response::assert_group_name;

/// Returns a frame as a snapshot shows it.
pub fn redact_frame(frame: &Value) -> String {
    redact_text(&frame.to_string(), frame)
}

/// Returns frames as a snapshot shows them, one in each line.
pub fn redact_frames(frames: &[Value]) -> String {
    frames
        .iter()
        .map(|frame| redact_frame(frame) + "\n")
        .collect()
}

/// Replaces names, codes and times of a JSON value in a text.
pub fn redact_text(text: &str, value: &Value) -> String {
    let mut text = text.to_owned();
    visit_strings(value, &mut |key, value| {
        let hidden = match key {
            "group" | "group_name" => {
                assert_group_name(value);
                "[group]"
            }
            "at" | "now" | "created_at" | "updated_at" | "joined_at" | "edited_at"
            | "banned_at" | "last_used_at" => {
                let age = Utc::now() - parse_protocol_time(value);
                assert!(
                    (-1..60).contains(&age.num_seconds()),
                    "{key} is not now: {value}"
                );
                "[now]"
            }
            "expires_at" => {
                assert!(
                    parse_protocol_time(value) > Utc::now(),
                    "{key} is over: {value}"
                );
                "[later]"
            }
            "conn" | "epoch" => {
                assert_hex(value);
                if key == "conn" { "[conn]" } else { "[epoch]" }
            }
            "code" if value.len() == 32 => {
                assert_hex(value);
                "[code]"
            }
            _ => return,
        };
        text = text.replace(value, hidden);
    });
    text
}

fn visit_strings(value: &Value, found: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) => found(key, text),
                    value => visit_strings(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| visit_strings(value, found)),
        _ => {}
    }
}

/// Parses a time in the format of the protocol: RFC 3339, UTC, milliseconds.
fn parse_protocol_time(text: &str) -> DateTime<Utc> {
    let time = DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    let written = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(written, text);
    time
}

fn assert_hex(text: &str) {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(text.len() == 32 && text.bytes().all(is_hex), "{text}");
}
