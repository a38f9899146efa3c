//! Turns errors of commands into texts for people.

use std::{collections::BTreeMap, error::Error as _};

use loco_rs::Error;

use crate::database::{Outage, classify};

/// Returns the text of an error with its causes and a hint.
#[must_use]
pub fn explain_error(error: &Error) -> String {
    // The template engine of the configuration already prefixes its errors with `error: `.
    let mut text = error.to_string().trim_start_matches("error: ").to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let outage = match error {
        Error::DB(error) => classify(error).outage(),
        _ => None,
    };
    let hint = match outage {
        Some(Outage::Unreachable) => {
            "; check that the database of DATABASE_URL runs and is reachable"
        }
        Some(Outage::Busy) => {
            "; another process holds the locks of the database: wait for the process, or end it"
        }
        Some(Outage::DiskFull) => "; the disk of the database is full: make space",
        Some(Outage::ReadOnly) => {
            "; the database accepts no writes: check the rights of its file or of its account"
        }
        Some(Outage::StorageFailed) => {
            "; check the disk of the database and its free space; if the file is damaged, restore a backup"
        }
        _ if text.starts_with("no configuration file") => {
            "; run the command in the project's folder, with LOCO_ENV set to development, test or \
             production"
        }
        _ => "",
    };
    if text.starts_with("cannot parse `")
        && let Some(file) = text.split('`').nth(1)
    {
        return format!("{text}{}", environment_hint(file, &text));
    }
    text + hint
}

/// Returns a hint that names environment variables that may have made a configuration file
/// unreadable.
///
/// These are the variables that the file reads and that are empty or have a value that the error
/// contains.
fn environment_hint(file: &str, error: &str) -> String {
    let Ok(config) = std::fs::read_to_string(file) else {
        return String::new();
    };
    let names = config
        .split("get_env(name=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let set_variables: BTreeMap<&str, String> = names
        .filter_map(|name| {
            #[allow(clippy::disallowed_methods, reason = "only to name it in an error")]
            let value = std::env::var(name);
            Some((name, value.ok()?))
        })
        .collect();
    let is_shown = |value: &str| value.trim().is_empty() || error.contains(&format!("\"{value}\""));
    let mut names: Vec<&str> = set_variables
        .iter()
        .filter(|(_, value)| is_shown(value))
        .map(|(name, _)| *name)
        .collect();
    if names.is_empty() {
        names = set_variables.into_keys().collect();
    }
    match names.as_slice() {
        [] => String::new(),
        names => format!(
            "; check the environment variable {}: set it to a valid value, or unset it",
            names.join(", ")
        ),
    }
}

/// Returns the text of the last cause of an error, which is the most exact one.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
