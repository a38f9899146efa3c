//! The sources of the configuration: files, and variables of the environment.
//!
//! A later source overrides single keys of an earlier source:
//!
//! | source | content |
//! |---|---|
//! | built in | `config/development.yaml` or `config/production.yaml`, as they were when the program was built |
//! | `<folder>/<environment>.yaml` | the configuration of this installation |
//! | `<folder>/<environment>.local.yaml` | the changes of one machine |
//! | `SALAM__<KEY>` | one key, see [`Variables::overrides`] |
//!
//! The files read variables by `get_env(name=…)`. For every variable, `<NAME>_FILE` names a file that contains the
//! value. The loader of Loco has neither built-in files nor variables for single keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use loco_rs::{Error, Result, config::Config, environment::Environment};
use rust_embed::RustEmbed;
use serde_json::{Map, Value};
use tera::{Context, Kwargs, State, Tera};

use super::checks::read_settings;
use crate::errors::root_cause;

/// The variable that names the folder of the files.
const FOLDER_VARIABLE: &str = "LOCO_CONFIG_FOLDER";

/// The folder of the files, without the variable.
const DEFAULT_FOLDER: &str = "config";

/// The begin of a variable that sets one key.
const OVERRIDE_PREFIX: &str = "SALAM__";

/// The text between the parts of a key in the name of a variable.
const KEY_SEPARATOR: &str = "__";

/// The end of a variable that names a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// The hint for a value that cannot be read.
const VALUE_HINT: &str =
    "; write a number or true or false as it is, and a list in brackets: [10.0.0.5, \"::1\"]";

/// The limit of a file with the value of a variable.
const MAX_VALUE_BYTES: u64 = 64 * 1024;

/// The configurations that the program contains. The configuration of tests is not among them: it empties the database.
#[derive(RustEmbed)]
#[folder = "config"]
#[include = "development.yaml"]
#[include = "production.yaml"]
struct BuiltInConfig;

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
        insert(&mut tree, key, value.clone());
    }
    let config: Config = serde_path_to_error::deserialize(tree).map_err(|error| {
        let key = error.path().to_string();
        let fault = error.inner().to_string();
        let hint = match overrides.get(&key) {
            Some(Override { variable, .. }) => variable_hint(&[variable]),
            None => variables.hint(&files, &fault),
        };
        let fault = without_value(&fault);
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

/// Returns an error of a reader without the value that it quotes, which may be a secret at a wrong place.
pub(super) fn without_value(error: &str) -> String {
    for begin in ["invalid type: ", "invalid value: "] {
        let parts = error
            .split_once(begin)
            .and_then(|(before, rest)| Some((before, rest.rsplit_once(", expected")?)));
        if let Some((before, (found, expected))) = parts {
            // The kind of the value comes before its quotes: `string "…"`, `integer `…``.
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
            return format!("{before}{begin}{kind}, expected{expected}");
        }
    }
    error.to_owned()
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

/// A file of the configuration.
struct ConfigFile {
    /// The name for errors.
    name: String,
    /// The text before its variables are replaced.
    template: String,
}

/// Returns the name of the built-in file of an environment. An environment with another name is like production.
const fn built_in_file(environment: &Environment) -> Option<&'static str> {
    match environment {
        Environment::Development => Some("development.yaml"),
        Environment::Test => None,
        Environment::Production | Environment::Any(_) => Some("production.yaml"),
    }
}

/// Returns the files of an environment, the built-in file first.
fn read_files(environment: &Environment, variables: &Variables) -> Result<Vec<ConfigFile>> {
    let file_name = format!("{environment}.yaml");
    let mut files = Vec::new();
    if let Some(name) = built_in_file(environment)
        && let Some(file) = BuiltInConfig::get(name)
    {
        let template = String::from_utf8(file.data.into_owned());
        files.push(ConfigFile {
            name: format!("{name} (built in)"),
            template: template.map_err(|error| Error::Message(error.to_string()))?,
        });
    }
    let folder_variable = variables.get(FOLDER_VARIABLE)?;
    let folder = folder_variable.as_deref().unwrap_or(DEFAULT_FOLDER);
    let built_in = files.len();
    for name in [file_name, format!("{environment}.local.yaml")] {
        let path = Path::new(folder).join(name);
        let name = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(template) => files.push(ConfigFile { name, template }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Message(format!("cannot read `{name}`: {error}"))),
        }
    }
    if files.len() == built_in {
        if folder_variable.is_some() {
            return Err(Error::Message(format!(
                "{FOLDER_VARIABLE} names the folder {folder}, which has no {environment}.yaml; create the file, or \
                 unset the variable"
            )));
        }
        if !matches!(
            environment,
            Environment::Development | Environment::Production
        ) {
            return Err(Error::Message(format!(
                "the environment {environment} has no file {folder}/{environment}.yaml; create the file, or set \
                 LOCO_ENV to development or production"
            )));
        }
    }
    Ok(files)
}

impl ConfigFile {
    /// Replaces the variables, and parses the result.
    fn parse(&self, variables: &Arc<Variables>) -> Result<Value> {
        let name = &self.name;
        // An error of a variable is clearer than the error of the template that reads the variable.
        for variable in self.variable_names() {
            variables.get(variable)?;
        }
        let yaml = self.render(variables).map_err(|error| {
            Error::Message(format!("cannot read `{name}`: {}", root_cause(&*error)))
        })?;
        // The reader of YAML refuses duplicate keys, and the reader of JSON would not.
        let tree = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&yaml)
            .map_err(|error| error.to_string())
            .and_then(|tree| serde_json::to_value(tree).map_err(|error| error.to_string()));
        match tree {
            Ok(tree @ (Value::Object(_) | Value::Null)) => Ok(tree),
            Ok(_) => Err(Error::Message(format!("`{name}` is not a mapping of keys"))),
            Err(error) => {
                let text = format!("cannot parse `{name}`: {error}");
                let hint = variables.hint(std::slice::from_ref(self), &text);
                Err(Error::Message(text + &hint))
            }
        }
    }

    fn render(&self, variables: &Arc<Variables>) -> Result<String, Box<dyn std::error::Error>> {
        let variables = variables.clone();
        let mut tera = Tera::default();
        tera.register_function("get_env", move |arguments: Kwargs, _: &State<'_>| {
            variables.get_or_default(&arguments)
        });
        tera.add_raw_template(&self.name, &template_syntax(&self.template)?)?;
        Ok(tera.render(&self.name, &Context::new())?)
    }

    /// The variables that the file reads.
    fn variable_names(&self) -> impl Iterator<Item = &str> {
        let calls = self.template.split("get_env(name=\"").skip(1);
        calls.filter_map(|call| call.split('"').next())
    }
}

/// Returns a template with the delimiters of the template engine. The delimiters of the files are valid in YAML:
/// `<%= … %>`, and `<% … %>` for statements, and `<%# … %>` for comments.
fn template_syntax(file: &str) -> Result<String, String> {
    let mut parts = file.split("<%");
    let mut template = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, text) = part
            .split_once("%>")
            .ok_or("a tag that begins with `<%` has no `%>`")?;
        let (begin, tag, end) = match (tag.strip_prefix('='), tag.strip_prefix('#')) {
            (Some(expression), _) => ("{{", expression, "}}"),
            (_, Some(comment)) => ("{#", comment, "#}"),
            _ => ("{%", tag, "%}"),
        };
        template.extend([begin, tag, end, text]);
    }
    Ok(template)
}

/// The variables of the environment.
struct Variables {
    values: BTreeMap<OsString, OsString>,
    /// The values from files, by the name of the variable. A pipe can be read only once.
    from_files: Mutex<BTreeMap<String, String>>,
}

/// A key that a variable sets.
struct Override {
    variable: String,
    value: Value,
}

impl Variables {
    fn of_process() -> Self {
        Self {
            values: env::vars_os().collect(),
            from_files: Mutex::default(),
        }
    }

    /// Returns the value of a variable, or of the file that `<NAME>_FILE` names. An empty variable with such a file
    /// counts as not set.
    fn get(&self, name: &str) -> Result<Option<String>> {
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
    fn get_or_default(&self, arguments: &Kwargs) -> tera::TeraResult<tera::Value> {
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
    fn overrides(&self, tree: &Value) -> Result<BTreeMap<String, Override>> {
        let names = self.values.keys().filter_map(|name| name.to_str());
        let mut overrides: BTreeMap<String, Override> = BTreeMap::new();
        for variable in names {
            let Some(path) = variable.strip_prefix(OVERRIDE_PREFIX) else {
                continue;
            };
            if !path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                return Err(Error::Message(format!(
                    "{variable}: the name of a key has only letters, digits and underscores"
                )));
            }
            let key_of = |path: &str| path.to_lowercase().replace(KEY_SEPARATOR, ".");
            let file_path = path.strip_suffix(FILE_SUFFIX);
            let file_path = file_path.filter(|path| !path.ends_with('_'));
            // A key such as `redis_ca_file` ends like the name of a variable for a file.
            let file_path = file_path.filter(|_| lookup(tree, &key_of(path)).is_none());
            let key = key_of(file_path.unwrap_or(path));
            let text = match file_path {
                Some(path) => self.get(&format!("{OVERRIDE_PREFIX}{path}"))?,
                None => self.get(variable)?,
            };
            let text = text.unwrap_or_default();
            let value = match lookup(tree, &key) {
                Some(Value::String(_)) => Value::String(text),
                _ => serde_yaml_ng::from_str(&text)
                    .map_err(|error| Error::Message(format!("{variable}: {error}{VALUE_HINT}")))?,
            };
            if let Some(other) = overrides.get(&key) {
                return Err(Error::Message(format!(
                    "both {} and {variable} set the key {key}; unset one of them",
                    other.variable
                )));
            }
            let variable = variable.to_owned();
            overrides.insert(key, Override { variable, value });
        }
        Ok(overrides)
    }

    /// Returns a hint that names the variables that may have made files unreadable.
    ///
    /// These are the variables that the files read and that are empty, or whose value the error contains.
    fn hint(&self, files: &[ConfigFile], error: &str) -> String {
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

fn variable_hint(names: &[&str]) -> String {
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
            return Err(std::io::Error::other(
                "the file is empty; write the value into the file, or unset the variable",
            ));
        }
        if value.len() as u64 > MAX_VALUE_BYTES {
            return Err(std::io::Error::other(format!(
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
        let is_pipe = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        is_pipe && !path.starts_with("/dev/") && !path.starts_with("/proc/")
    }
    #[cfg(not(unix))]
    false
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

fn lookup<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |tree, part| tree.get(part))
}

/// Sets a key such as `settings.limits.logins_per_minute`. Blocks that are missing are added.
fn insert(tree: &mut Value, key: &str, value: Value) {
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
