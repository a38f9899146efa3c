//! The sources of the configuration: files, and variables of the environment.
//!
//! A later source overrides single keys of an earlier source:
//!
//! | source | content |
//! |---|---|
//! | built in | `config/development.yaml` or `config/production.yaml`, as they were when the program was built |
//! | `<folder>/<environment>.yaml` | the configuration of this installation |
//! | `<folder>/<environment>.local.yaml` | the changes of one machine |
//! | `SALAM__<KEY>` | one key, see [`variables::Variables::overrides`] |
//!
//! The files read variables by `get_env(name=…)`. For every variable, `<NAME>_FILE` names a file that contains the
//! value. The loader of Loco has neither built-in files nor variables for single keys.

mod files;
mod variables;

use std::{collections::BTreeMap, sync::Arc};

use loco_rs::{Error, Result, config::Config, environment::Environment};
use serde_json::{Map, Value};

use self::{
    files::read_files,
    variables::{Override, VALUE_HINT, Variables, variable_hint},
};
use super::checks::read_settings;

/// Loads the configuration of an environment from all sources.
///
/// # Errors
/// When a file or a variable cannot be read, when a key outside of `settings:` is unknown or has a wrong type, or when
/// no file exists for an environment other than development and production. The text names the file or the variable.
pub fn load_config(environment: &Environment) -> Result<Config> {
    let variables = Arc::new(Variables::of_process());
    let files = read_files(environment, &variables)?;
    let mut tree = Value::Object(Map::new());
    for file in &files {
        merge(&mut tree, file.parse(&variables)?);
    }
    let overrides = variables.overrides(&tree)?;
    for (key, Override { value, .. }) in &overrides {
        set_key(&mut tree, key, value.clone());
    }
    let config: Config = serde_path_to_error::deserialize(tree).map_err(|error| {
        let key = error.path().to_string();
        let fault = error.inner().to_string();
        let hint = match overrides.get(&key) {
            Some(Override { variable, .. }) => variable_hint(&[variable]),
            None => variables.hint(&files, &fault),
        };
        let fault = plain_fault(&fault);
        Error::Message(format!(
            "the configuration has a wrong value: {key}: {fault}{hint}"
        ))
    })?;
    reject_unknown_keys(&config, &overrides)?;
    reject_faulty_settings(&config, &overrides)?;
    Ok(config)
}

/// Refuses a variable whose value the settings cannot read, with the name of the variable.
fn reject_faulty_settings(config: &Config, overrides: &BTreeMap<String, Override>) -> Result<()> {
    let Err(fault) = read_settings(config) else {
        return Ok(());
    };
    let is_cause = |key: &str| {
        let rest = fault.strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
    };
    let hint = if fault.contains("invalid type") {
        VALUE_HINT
    } else {
        ""
    };
    match overrides.iter().find(|(key, _)| is_cause(key)) {
        Some((_, Override { variable, .. })) => {
            Err(Error::Message(format!("{variable}: {fault}{hint}")))
        }
        // The check of the settings reports the fault of a file.
        None => Ok(()),
    }
}

/// Returns an error of serde in plain words, without the value, which may be a secret at a wrong place.
pub(super) fn plain_fault(error: &str) -> String {
    let Some((fault, expected)) = error.rsplit_once(", expected ") else {
        return error.to_owned();
    };
    let expected = match expected {
        "a sequence" => "a list",
        block if block.starts_with("struct ") => "a block of keys",
        other => other,
    };
    // The kind of the value comes before its quotes: `string "…"`, `integer `…``.
    let is_about_value =
        fault.starts_with("invalid type: ") || fault.starts_with("invalid value: ");
    let fault = match fault.split(['"', '`']).next() {
        Some(before_value) if is_about_value => before_value.trim_end(),
        _ => fault,
    };
    format!("{fault}, expected {expected}")
}

/// Refuses a variable whose key Loco would ignore. The check of the settings refuses unknown keys of `settings:`.
fn reject_unknown_keys(config: &Config, overrides: &BTreeMap<String, Override>) -> Result<()> {
    let known = serde_json::to_value(config)?;
    let outside = overrides
        .iter()
        .filter(|(key, _)| !key.starts_with("settings."));
    let unknown: Vec<_> = outside
        .filter(|(key, _)| {
            known
                .pointer(&format!("/{}", key.replace('.', "/")))
                .is_none()
        })
        .map(|(key, Override { variable, .. })| format!("{variable}: the key {key} is unknown"))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Message(unknown.join("\n")))
}

/// Overrides the keys of a tree by those of another one. A list replaces a list.
fn merge(tree: &mut Value, other: Value) {
    match (tree, other) {
        (_, Value::Null) => {}
        (Value::Object(fields), Value::Object(others)) => {
            for (key, value) in others {
                match fields.get_mut(&key) {
                    Some(field) if field.is_object() && value.is_object() => merge(field, value),
                    _ => {
                        fields.insert(key, value);
                    }
                }
            }
        }
        (tree, other) => *tree = other,
    }
}

/// Sets a key such as `settings.limits.logins_per_minute`. Blocks that are missing are added.
fn set_key(tree: &mut Value, key: &str, value: Value) {
    let mut place = tree;
    for part in key.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(fields) = place.as_object_mut() else {
            return;
        };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = value;
}
