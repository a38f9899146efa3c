//! Checks the keys, variables and defaults of docs/configuration.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use loco_rs::{config::Config, environment::Environment};
use salam::settings::Settings;
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

const CONFIGURATION_MD: &str = include_str!("../docs/configuration.md");

/// The columns of the tables, in order.
const ENVIRONMENTS: [&str; 3] = ["development", "test", "production"];

const CONFIG_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// A variable that is never set, so that its default is used.
const UNSET_VARIABLE: &str = "SALAM_IS_NEVER_SET";

/// The smallest configuration that Loco accepts. Loco does not check the block `settings`.
const MINIMAL_CONFIG: &str = "
logger: { enable: false, level: info, format: compact }
server: { port: 0, host: localhost }
database:
  uri: ''
  enable_logging: false
  connect_timeout: 0
  idle_timeout: 0
  min_connections: 0
  max_connections: 1
settings:
";

#[test]
fn every_setting_is_documented() {
    let rows = documented_rows();
    for key in config_keys() {
        assert!(rows.contains_key(key.as_str()), "`{key}` has no row");
    }
}

#[test]
fn every_documented_key_is_read() {
    let (keys, variables) = (config_keys(), all_variables());
    for name in documented_rows().into_keys() {
        let is_there = if is_variable_name(name) {
            variables.contains(name) || is_read_by_program(name)
        } else {
            keys.contains(name)
        };
        assert!(is_there, "nothing reads `{name}`");
    }
}

#[test]
fn documented_defaults_match_the_config_files() {
    let rows = documented_rows();
    for (at, environment) in ENVIRONMENTS.into_iter().enumerate() {
        let values = config_values(environment, None);
        for (key, cells) in rows.iter().filter(|(name, _)| !is_variable_name(name)) {
            assert_eq!(cells.len(), 5, "the row of `{key}` lacks cells");
            let default = format_value(values.get(*key));
            assert_eq!(cells[1 + at], default, "`{key}` in {environment}");
        }
    }
}

#[test]
fn every_environment_variable_is_documented_with_its_keys() {
    let rows = documented_rows();
    for name in all_variables() {
        let cells = rows.get(name.as_str());
        let cells = cells.unwrap_or_else(|| panic!("`{name}` has no row"));
        assert_eq!(cells.len(), 5, "the row of `{name}` lacks cells");
        let named: BTreeSet<_> = backticked(cells[0]).map(str::to_owned).collect();
        assert_eq!(named, keys_set_by(&name), "the settings of `{name}`");
        for (at, environment) in ENVIRONMENTS.into_iter().enumerate() {
            let template = read_template(environment);
            let variable = template_variables(&template)
                .into_iter()
                .find(|variable| variable.0 == name);
            let default = format_value(variable.map(|(_, default)| Value::from(default)).as_ref());
            assert_eq!(cells[1 + at], default, "`{name}` in {environment}");
        }
    }
}

/// Loco would ignore a misspelt key.
#[test]
fn loco_knows_every_key_outside_settings() {
    for environment in ENVIRONMENTS {
        let known = serde_json::to_value(parse_config(&fill_defaults(environment, None))).unwrap();
        for key in config_values(environment, None).into_keys() {
            let pointer = format!("/{}", key.replace('.', "/"));
            assert!(known.pointer(&pointer).is_some(), "`{key}`");
        }
    }
}

#[test]
fn a_local_config_file_overrides_only_its_own_keys() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, yaml: &str| fs::write(folder.path().join(name), yaml).unwrap();
    write("test.yaml", &fill_defaults("test", None));
    write(
        "test.local.yaml",
        "settings: { door: { trusted_proxies: [10.0.0.0/8] }, tokens: { leeway: 7 } }",
    );
    let changed = Config::from_folder(&Environment::Test, folder.path()).unwrap();
    let mut expected = parse_config(&fill_defaults("test", None)).settings.unwrap();
    expected["door"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
    expected["tokens"]["leeway"] = json!(7);
    assert_eq!(changed.settings, Some(expected));
}

/// Returns the other cells of each row, by the name in its first cell.
fn documented_rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut rows = BTreeMap::new();
    for line in CONFIGURATION_MD
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let mut cells = line.trim_matches('|').trim().split(" | ");
        let name = cells.next().unwrap().trim_matches('`');
        let others: Vec<_> = cells.collect();
        assert!(rows.insert(name, others).is_none(), "`{name}` twice");
    }
    rows
}

/// Returns the texts in backticks.
fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Formats a value like the document.
fn format_value(value: Option<&Value>) -> String {
    match value {
        None => "—".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(values)) if values.is_empty() => "empty".to_owned(),
        Some(Value::Array(values)) => {
            let values: Vec<_> = values
                .iter()
                .map(|value| format_value(Some(value)))
                .collect();
            values.join(", ")
        }
        Some(value) => format!("`{value}`"),
    }
}

/// Returns every key of the files, and every key of `settings` that the program knows.
fn config_keys() -> BTreeSet<String> {
    let in_files = ENVIRONMENTS.map(|environment| config_values(environment, None));
    let in_files = in_files.into_iter().flat_map(BTreeMap::into_keys);
    let config = parse_config(&fill_defaults("test", None));
    in_files.chain(settings_keys(&config, "")).collect()
}

/// Returns the keys of a block of the settings and of its inner blocks. The error for a misspelt key
/// lists the expected keys.
fn settings_keys(config: &Config, block: &str) -> Vec<String> {
    let mut misspelt = config.clone();
    let settings = misspelt.settings.as_mut().unwrap();
    settings.pointer_mut(block).unwrap()["misspelt"] = Value::Null;
    let rejected = Settings::load(&misspelt, &Environment::Test).err();
    let error = rejected.expect("an unknown key is refused").to_string();
    let (_, expected) = error.split_once("`misspelt`, expected").unwrap();
    let mut keys = Vec::new();
    for name in backticked(expected) {
        let pointer = format!("{block}/{name}");
        let value = config.settings.as_ref().unwrap().pointer(&pointer);
        if value.is_some_and(Value::is_object) {
            keys.extend(settings_keys(config, &pointer));
        } else {
            keys.push(format!("settings{}", pointer.replace('/', ".")));
        }
    }
    keys
}

/// Returns the value of each key in the file of an environment, with at most one variable set.
fn config_values(environment: &str, set: Option<(&str, &str)>) -> BTreeMap<String, Value> {
    let tree = parse_yaml(&fill_defaults(environment, set));
    let mut values = BTreeMap::new();
    flatten_block(tree.as_object().unwrap(), "", &mut values);
    values
}

fn flatten_block(block: &Map<String, Value>, prefix: &str, values: &mut BTreeMap<String, Value>) {
    for (name, value) in block {
        let key = format!("{prefix}{name}");
        if let Value::Object(block) = value {
            flatten_block(block, &format!("{key}."), values);
        } else {
            values.insert(key, value.clone());
        }
    }
}

/// Parses a file, with the keys that Loco does not know.
fn parse_yaml(yaml: &str) -> Value {
    let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
    parse_config(&format!("{MINIMAL_CONFIG}{indented}"))
        .settings
        .unwrap()
}

/// Parses a file like Loco.
fn parse_config(yaml: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.yaml"), yaml).unwrap();
    Config::from_folder(&Environment::Test, folder.path()).unwrap()
}

/// Returns the file of an environment with all variables at their defaults, independent of the environment of the
/// tests. One variable can be set.
fn fill_defaults(environment: &str, set: Option<(&str, &str)>) -> String {
    let template = read_template(environment);
    let mut filled = template.clone();
    for (name, default) in template_variables(&template) {
        let value = match set {
            Some((variable, value)) if variable == name => value,
            _ => default,
        };
        filled = filled.replace(
            &format!("name=\"{name}\", default=\"{default}\""),
            &format!("name=\"{UNSET_VARIABLE}\", default=\"{value}\""),
        );
    }
    filled
}

fn read_template(environment: &str) -> String {
    fs::read_to_string(format!("{CONFIG_FOLDER}/{environment}.yaml")).unwrap()
}

/// Returns the variables of a file with their defaults, in order.
fn template_variables(template: &str) -> Vec<(&str, &str)> {
    let questions = template.split("get_env(").skip(1);
    let variables = questions.map(|question| {
        let question = question.strip_prefix("name=\"").unwrap();
        let (name, rest) = question.split_once("\", default=\"").unwrap();
        assert!(
            is_variable_name(name),
            "a variable without a default: {name}"
        );
        (name, rest.split_once("\")").unwrap().0)
    });
    variables.collect()
}

/// Returns the variables of all files.
fn all_variables() -> BTreeSet<String> {
    let files = ENVIRONMENTS.map(read_template);
    let variables = files.iter().flat_map(|file| template_variables(file));
    variables.map(|(name, _)| name.to_owned()).collect()
}

/// Keys are in lower case.
fn is_variable_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Returns the keys that a variable changes. The kind of a database URL can matter.
fn keys_set_by(variable: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for environment in ENVIRONMENTS {
        let with = |value| config_values(environment, Some((variable, value)));
        let (one, other) = (with("one"), with("sqlite:other"));
        let changed = one
            .into_iter()
            .filter(|(key, value)| other.get(key) != Some(value));
        keys.extend(changed.map(|(key, _)| key));
    }
    keys
}

/// `true` if the program reads a variable that no file names.
fn is_read_by_program(name: &str) -> bool {
    let folder = ("LOCO_CONFIG_FOLDER", CONFIG_FOLDER);
    match name {
        "LOCO_ENV" | "RAILS_ENV" | "NODE_ENV" => {
            finds_environment("test", &[folder, (name, "test")])
        }
        "LOCO_CONFIG_FOLDER" => {
            let empty = (name, "/no/such/folder");
            finds_environment("development", &[folder])
                && !finds_environment("development", &[empty])
        }
        "RUST_LOG" => EnvFilter::DEFAULT_ENV == name,
        _ => false,
    }
}

/// `true` if the program finds the configuration of an environment with only these variables.
fn finds_environment(environment: &str, variables: &[(&str, &str)]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
    command
        .args(["doctor", "--config"])
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied());
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    output.contains(&format!("\nEnvironment: {environment}\n"))
}
