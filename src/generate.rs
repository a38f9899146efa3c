//! `cargo loco generate …`: Loco's generators with the templates in `.loco-templates/`, and the
//! steps that Loco leaves to a person.
//!
//! Loco's generators run in a child process without the variables that cargo sets for programs that
//! it runs. A cargo inside the child would take these variables for a change of many dependencies,
//! and rebuild the dependencies for minutes.
//!
//! A template writes one file. Some templates here contain several files, one after another, which
//! this module unpacks afterwards. At the end, `cargo fmt` formats all files.

use std::{
    collections::HashSet,
    env::{self, current_exe},
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use loco_rs::{Error, Result};

/// The variable that marks the child process, which runs Loco's generators.
const CHILD_ENV: &str = "SALAM_GENERATES";

/// The prefix of the line before the content of another file.
const FILE_SEPARATOR: &str = "// ==> ";

/// The folders of generated files that contain other files.
const BUNDLE_FOLDERS: [&str; 2] = ["src/controllers", "tests/models"];

/// The folders of the files that are unpacked.
const UNPACKED_FOLDERS: [&str; 2] = ["src/models", "tests/requests"];

/// The prefixes of the variables that cargo sets for a program that it runs.
const CARGO_ENV_PREFIXES: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The version of sea-orm-cli whose entities look like those in this repository.
const SEA_ORM_CLI_VERSION: &str = "2.0";

/// The types whose columns and JSON are the same on SQLite and PostgreSQL.
const COLUMN_TYPES: [&str; 16] = [
    "string",
    "text",
    "uuid",
    "small_int",
    "int",
    "big_int",
    "float",
    "double",
    "bool",
    "date",
    "time",
    "date_time",
    "tstz",
    "json",
    "jsonb",
    "enum",
];

/// The fields that name the owner of a row: a user or a group.
const OWNER_FIELDS: [&str; 2] = ["user:references", "chat_group:references:group_id"];

/// Returns the arguments if they call a generator.
#[must_use]
pub fn generator_args(args: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    // The child process leaves the command to Loco.
    if env::var_os(CHILD_ENV).is_some() {
        return None;
    }
    let args: Option<Vec<String>> = args.skip(1).map(|arg| arg.into_string().ok()).collect();
    args.filter(|args| matches!(args.first().map(String::as_str), Some("generate" | "g")))
}

/// Generates code and prints the next steps.
///
/// # Errors
/// When a required program is missing, or when the generators do not accept an argument.
pub fn run(mut args: Vec<String>) -> Result<ExitCode> {
    let kind = args.get(1).cloned().unwrap_or_default();
    let is_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if matches!(kind.as_str(), "scaffold" | "model") && !is_help {
        check_fields(&args)?;
        check_sea_orm_cli()?;
        if kind == "scaffold" {
            add_default_owner(&mut args)?;
        }
    }
    let existing: HashSet<_> = source_files(&UNPACKED_FOLDERS).into_iter().collect();
    let mut child = Command::new(current_exe()?);
    child.args(&args).env(CHILD_ENV, "1");
    // Loco writes the entities only while it logs at level `warn` or lower.
    child.env("LOG_LEVEL", "warn").env_remove("RUST_LOG");
    for (name, _) in env::vars_os() {
        let is_set_by_cargo = |name: &str| {
            CARGO_ENV_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        if name.to_str().is_some_and(is_set_by_cargo) {
            child.env_remove(&name);
        }
    }
    if !child.status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    if is_help {
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_new = false;
    for bundle in source_files(&BUNDLE_FOLDERS) {
        is_new |= unpack_bundle(&bundle, &existing)?;
    }
    if !is_new && matches!(kind.as_str(), "scaffold" | "model") {
        return Err(Error::Message(
            "a model of this name already exists, and was not changed; to add a column, use \
             `cargo loco generate migration`"
                .to_owned(),
        ));
    }
    format_all()?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the fields: the arguments with a colon, such as `title:string!`.
fn field_args(args: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let arguments = args.iter().skip(2).filter(|arg| !arg.starts_with('-'));
    arguments.filter_map(|arg| arg.split_once(':'))
}

/// Refuses fields that Loco accepts and the templates do not support.
fn check_fields(args: &[String]) -> Result<()> {
    let is_public = args.iter().any(|arg| arg == "--no-auth");
    for (name, spec) in field_args(args) {
        let field = format!("{name}:{spec}");
        let column = match spec.strip_prefix("references") {
            Some(rest) => match rest.split_once(':') {
                Some((_, column)) => column.to_owned(),
                None => format!("{name}_id"),
            },
            None => name.to_owned(),
        };
        let is_owner = OWNER_FIELDS.contains(&field.as_str());
        if is_owner && is_public {
            return Err(Error::Message(format!(
                "`{field}` gives each row an owner, but `--no-auth` makes all rows public; remove \
                 one of the two"
            )));
        }
        if !is_owner && ["user_id", "group_id"].contains(&column.as_str()) {
            return Err(Error::Message(format!(
                "`{field}`: the column `{column}` is reserved for the owner of a row; write `{}` \
                 or `{}`, or use another name",
                OWNER_FIELDS[0], OWNER_FIELDS[1]
            )));
        }
        check_enum_values(&field, spec)?;
        let type_name = spec.split(':').next().unwrap_or_default();
        let type_name = type_name.trim_end_matches(['!', '^', '?']);
        if type_name != "references" && !COLUMN_TYPES.contains(&type_name) {
            return Err(Error::Message(format!(
                "`{field}`: the type `{type_name}` is not supported; the types that are the same \
                 on SQLite and PostgreSQL are {}, references",
                COLUMN_TYPES.join(", ")
            )));
        }
    }
    Ok(())
}

/// Refuses enum values that cannot be the name of a variant.
fn check_enum_values(field: &str, spec: &str) -> Result<()> {
    let Some(values) = spec
        .split_once(':')
        .filter(|(type_name, _)| type_name.starts_with("enum"))
    else {
        return Ok(());
    };
    for value in values.1.trim_end_matches(['!', '^']).split(',') {
        let is_name = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_name {
            return Err(Error::Message(format!(
                "`{field}`: `{value}` is not a valid enum value; use letters, digits, `_` and \
                 `-`, and begin with a letter"
            )));
        }
    }
    Ok(())
}

/// Adds the owner `user` unless the arguments name another owner or `--no-auth`.
fn add_default_owner(args: &mut Vec<String>) -> Result<()> {
    let is_public = args.iter().any(|arg| arg == "--no-auth");
    let has_owner = args.iter().any(|arg| OWNER_FIELDS.contains(&arg.as_str()));
    // Without a name, Loco would take the field for the name.
    let has_name = args
        .iter()
        .skip(2)
        .any(|arg| !arg.starts_with('-') && !arg.contains(':'));
    if is_public || has_owner || !has_name {
        return Ok(());
    }
    args.push(OWNER_FIELDS[0].to_owned());
    print_line(
        "Added `user:references`: each row belongs to a user. Use \
         `chat_group:references:group_id` for rows of a group, or `--no-auth` for public rows.",
    )
}

fn check_sea_orm_cli() -> Result<()> {
    let output = Command::new("sea-orm-cli")
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if version.is_ok_and(|version| version.contains(&format!(" {SEA_ORM_CLI_VERSION}."))) {
        return Ok(());
    }
    Err(Error::Message(format!(
        "sea-orm-cli {SEA_ORM_CLI_VERSION} is required to write the entities; install it with \
         `bin/setup`"
    )))
}

/// Returns the source files in some folders.
fn source_files(folders: &[&str]) -> Vec<PathBuf> {
    let entries = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let paths = entries
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Unpacks the other files of a generated file. Returns `true` if the file contained any.
///
/// Files in `existing` are kept as they are.
fn unpack_bundle(bundle: &Path, existing: &HashSet<PathBuf>) -> Result<bool> {
    let separator = format!("\n{FILE_SEPARATOR}");
    let text = fs::read_to_string(bundle)?;
    let mut files = text.split(separator.as_str());
    let own_content = files.next().unwrap_or_default();
    let mut is_bundle = false;
    for file in files {
        is_bundle = true;
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        let path = PathBuf::from(name.trim());
        if existing.contains(&path) {
            print_line(&format!("skipped (exists): \"{}\"", path.display()))?;
        } else {
            fs::write(&path, content)?;
            print_line(&format!("added: \"{}\"", path.display()))?;
        }
        fs::write(bundle, format!("{own_content}\n"))?;
    }
    Ok(is_bundle)
}

fn format_all() -> Result<()> {
    let formatted = Command::new("cargo").args(["fmt", "--all"]).status();
    if !formatted.is_ok_and(|status| status.success()) {
        print_line("`cargo fmt` failed: the generated files are not formatted.")?;
    }
    print_line(
        "To try it, run `cargo nextest run` or `cargo test`. `git status` shows the new files.",
    )
}

fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
