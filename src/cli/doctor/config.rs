//! `cargo loco doctor --config`: the configuration as the server reads it.

use std::io::Write;

use loco_rs::{Result, config::Config, environment::Environment};
use serde_json::{Value, json};

/// Keys of the configuration whose values may be or contain secrets.
const SECRET_KEYS: [&str; 5] = ["secret", "password", "uri", "url", "redis_url"];

/// Prints the configuration as the server reads it, with its secrets hidden.
///
/// # Errors
/// When the configuration cannot be read, or the output cannot be written.
pub fn show(environment: &Environment, out: &mut impl Write) -> Result<()> {
    let config: Config = environment.load()?;
    let mut shown = serde_json::to_value(config)?;
    hide_secrets(&mut shown);
    writeln!(out, "{shown:#}\nEnvironment: {environment}")?;
    Ok(())
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text)
                        if SECRET_KEYS.contains(&key.as_str()) && !text.is_empty() =>
                    {
                        *value = json!("(hidden)");
                    }
                    value => hide_secrets(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}
