//! The variables of the environment: variables that the files read, files with values, and variables for single keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    sync::{Mutex, PoisonError},
};

use loco_rs::{Error, Result};
use serde_json::Value;
use tera::Kwargs;

use super::files::ConfigFile;

/// The prefix of a variable that sets one key.
const OVERRIDE_PREFIX: &str = "SALAM__";

/// The text between the parts of a key in the name of a variable.
const KEY_SEPARATOR: &str = "__";

/// The suffix of a variable that names a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// The limit of a file with the value of a variable, in bytes.
const MAX_VALUE_BYTES: u64 = 64 * 1024;

/// The hint for a value that cannot be read.
pub const VALUE_HINT: &str =
    "; write a number or true or false as it is, and a list in brackets: [10.0.0.5, \"::1\"]";

/// The variables of the environment.
pub struct Variables {
    values: BTreeMap<OsString, OsString>,
    /// The values from files, by the name of the variable. A pipe can be read only once.
    from_files: Mutex<BTreeMap<String, String>>,
}

/// A key that a variable sets.
pub struct Override {
    /// The name of the variable.
    pub variable: String,
    pub value: Value,
}

impl Variables {
    pub fn of_process() -> Self {
        Self {
            values: env::vars_os().collect(),
            from_files: Mutex::default(),
        }
    }

    /// Returns the value of a variable, or of the file that `<NAME>_FILE` names. An empty variable with such a file
    /// counts as not set.
    pub fn get(&self, name: &str) -> Result<Option<String>> {
        let file_variable = format!("{name}{FILE_SUFFIX}");
        let file = self.text(&file_variable)?.filter(|path| !path.is_empty());
        match (self.text(name)?, file) {
            (Some(value), Some(_)) if !value.is_empty() => Err(Error::Message(format!(
                "both {name} and {file_variable} are set; unset one of them"
            ))),
            (_, Some(path)) => self.read_file_once(&file_variable, path).map(Some),
            (value, None) => Ok(value.map(str::to_owned)),
        }
    }

    fn read_file_once(&self, variable: &str, path: &str) -> Result<String> {
        let mut from_files = self
            .from_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = from_files.get(variable) {
            return Ok(value.clone());
        }
        let value = read_value(variable, path)?;
        from_files.insert(variable.to_owned(), value.clone());
        Ok(value)
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        let value = self.values.get(OsStr::new(name));
        let text = value.map(|value| value.to_str().ok_or(name));
        text.transpose()
            .map_err(|name| Error::Message(format!("{name} is not UTF-8")))
    }

    /// The function `get_env(name=…, default=…)` of the files.
    pub fn get_or_default(&self, arguments: &Kwargs) -> tera::TeraResult<tera::Value> {
        let name: String = arguments.must_get("name")?;
        let value = self.get(&name);
        match value.map_err(|error| tera::Error::message(error.to_string()))? {
            Some(value) => Ok(value.into()),
            None => arguments
                .get::<tera::Value>("default")?
                .ok_or_else(|| tera::Error::message(format!("{name} is not set"))),
        }
    }

    /// Returns the keys that variables set: `SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUTE` sets
    /// `settings.limits.logins_per_minute`.
    ///
    /// A text replaces a text, and any other value is YAML: `[a.example, b.example]` is a list.
    ///
    /// # Errors
    /// When a name or a value cannot be read, or two variables set one key.
    pub fn overrides(&self, tree: &Value) -> Result<BTreeMap<String, Override>> {
        let names = self.values.keys().filter_map(|name| name.to_str());
        let names = names.filter(|name| name.starts_with(OVERRIDE_PREFIX));
        let mut overrides: BTreeMap<String, Override> = BTreeMap::new();
        for variable in names {
            let (key, value) = self.read_override(variable, tree)?;
            let variable = variable.to_owned();
            if let Some(other) = overrides.insert(key.clone(), Override { variable, value }) {
                return Err(Error::Message(format!(
                    "two variables set the key {key}, one of them is {}; unset one of them",
                    other.variable
                )));
            }
        }
        Ok(overrides)
    }

    /// Returns the key that a variable sets, and its value.
    fn read_override(&self, variable: &str, tree: &Value) -> Result<(String, Value)> {
        let path = variable.strip_prefix(OVERRIDE_PREFIX).unwrap_or(variable);
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !path.bytes().all(is_valid) {
            return Err(Error::Message(format!(
                "{variable}: the name of a key has only letters, digits and underscores"
            )));
        }
        let key_of = |path: &str| path.to_lowercase().replace(KEY_SEPARATOR, ".");
        // A key such as `redis_ca_file` ends like the name of a variable for a file.
        let path_before_suffix = path
            .strip_suffix(FILE_SUFFIX)
            .filter(|rest| !rest.ends_with('_') && value_at(tree, &key_of(path)).is_none());
        let (key, text) = match path_before_suffix {
            Some(path) => (key_of(path), self.get(&format!("{OVERRIDE_PREFIX}{path}"))?),
            None => (key_of(path), self.get(variable)?),
        };
        let text = text.unwrap_or_default();
        let value = match value_at(tree, &key) {
            Some(Value::String(_)) => Value::String(text),
            _ => serde_yaml_ng::from_str(&text)
                .map_err(|error| Error::Message(format!("{variable}: {error}{VALUE_HINT}")))?,
        };
        Ok((key, value))
    }

    /// Returns a hint that names the variables that may have made files unreadable.
    ///
    /// These are the variables that the files read and that are empty, or whose value the error contains.
    pub fn hint(&self, files: &[ConfigFile], error: &str) -> String {
        let read: BTreeSet<&str> = files.iter().flat_map(ConfigFile::variable_names).collect();
        let set = read.into_iter().filter_map(|name| {
            let value = self.values.get(OsStr::new(name))?;
            Some((name, value.to_string_lossy()))
        });
        let (suspects, others): (Vec<_>, Vec<_>) = set.partition(|(_, value)| {
            let is_shown = |quote| error.contains(&format!("{quote}{value}{quote}"));
            value.trim().is_empty() || is_shown('"') || is_shown('`')
        });
        let named = if suspects.is_empty() {
            others
        } else {
            suspects
        };
        let names: Vec<_> = named.into_iter().map(|(name, _)| name).collect();
        variable_hint(&names)
    }
}

/// Returns a hint that names variables; empty without a variable.
pub fn variable_hint(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!(
            "; check the environment variable {}: set it to a valid value, or unset it",
            names.join(", ")
        ),
    }
}

/// Reads the file that a variable names. The line feed at the end is not a part of the value.
fn read_value(variable: &str, path: &str) -> Result<String> {
    let mut value = String::new();
    if is_named_pipe(path) {
        // Without a writer, the start would wait forever.
        return Err(Error::Message(format!(
            "{variable}: {path} is a named pipe; name a file"
        )));
    }
    let read = File::open(path).and_then(|file| {
        file.take(MAX_VALUE_BYTES + 1).read_to_string(&mut value)?;
        if value.trim().is_empty() {
            return Err(io::Error::other(
                "the file is empty; write the value into the file, or unset the variable",
            ));
        }
        if value.len() as u64 > MAX_VALUE_BYTES {
            return Err(io::Error::other(format!(
                "the file is larger than {MAX_VALUE_BYTES} bytes"
            )));
        }
        Ok(())
    });
    read.map_err(|error| Error::Message(format!("{variable}: cannot read {path}: {error}")))?;
    let line = value.strip_suffix('\n').unwrap_or(&value);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Returns `true` for a pipe that is not an open file of this process, such as `/dev/stdin`.
fn is_named_pipe(path: &str) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is_pipe = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        is_pipe && !path.starts_with("/dev/") && !path.starts_with("/proc/")
    }
    #[cfg(not(unix))]
    false
}

/// Returns the value of a key such as `settings.limits.logins_per_minute`.
fn value_at<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |tree, part| tree.get(part))
}
