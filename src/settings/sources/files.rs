//! The files of the configuration, and the templates in them.

use std::{io::ErrorKind, path::Path, sync::Arc};

use loco_rs::{Error, Result, environment::Environment};
use rust_embed::RustEmbed;
use serde_json::Value;
use tera::{Context, Kwargs, State, Tera};

use super::variables::Variables;
use crate::errors::root_cause;

/// The variable that names the folder of the files.
const FOLDER_VARIABLE: &str = "LOCO_CONFIG_FOLDER";

/// The folder of the files, if the variable is not set.
const DEFAULT_FOLDER: &str = "config";

/// The configurations that the program contains. The configuration of tests is not among them: it empties the database.
#[derive(RustEmbed)]
#[folder = "config"]
#[include = "development.yaml"]
#[include = "production.yaml"]
struct BuiltInConfig;

/// A file of the configuration.
pub struct ConfigFile {
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
pub fn read_files(environment: &Environment, variables: &Variables) -> Result<Vec<ConfigFile>> {
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
            Err(error) if error.kind() == ErrorKind::NotFound => {}
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
    pub fn parse(&self, variables: &Arc<Variables>) -> Result<Value> {
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
    pub fn variable_names(&self) -> impl Iterator<Item = &str> {
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
