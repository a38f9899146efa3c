//! `cargo loco doctor --config`: the configuration as the server reads it.

use std::io::Write;

use loco_rs::{Result, config::Config, environment::Environment};
use serde_json::{Value, json};

use crate::settings::load_config;

/// Keys of the configuration whose values may be or contain secrets.
const SECRET_KEYS: [&str; 7] = [
    "secret",
    "accepted_secrets",
    "password",
    "uri",
    "url",
    "redis_url",
    "otlp_endpoint",
];

/// Prints the configuration as the server reads it, with its secrets hidden.
///
/// # Errors
/// When the configuration cannot be read, or the output cannot be written.
pub fn show(environment: &Environment, out: &mut impl Write) -> Result<()> {
    let config: Config = load_config(environment)?;
    let mut shown = serde_json::to_value(config)?;
    hide_secrets(&mut shown);
    writeln!(out, "{shown:#}\nEnvironment: {environment}")?;
    Ok(())
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_empty = matches!(value, Value::Null)
                    || value.as_str().is_some_and(str::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                if !SECRET_KEYS.contains(&key.as_str()) {
                    hide_secrets(value);
                } else if !is_empty {
                    *value = json!("(hidden)");
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}
