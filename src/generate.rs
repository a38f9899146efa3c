//! `cargo loco generate …`: Loco's generators, by the templates in `.loco-templates/`, and what they
//! leave to be done by hand.
//!
//! Loco's do their work in a process of their own, without the variables that cargo gives to what it
//! runs: the cargo that they start in turn would take those for a change of what half of the
//! dependencies are built by, and build them again, for minutes. A template writes one file; of ours
//! some have several in them, one after another, which are taken apart afterwards. At last all is
//! formatted.

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

/// Set for the process that does Loco's part.
const CHILD_ENV: &str = "SALAM_GENERATES";

/// Begins the line before the content of another file.
const FILE_SEPARATOR: &str = "// ==> ";

/// Where generated files are that have others in them.
const BUNDLE_FOLDERS: [&str; 2] = ["src/controllers", "tests/models"];

/// Where those are that they have in them.
const UNPACKED_FOLDERS: [&str; 2] = ["src/models", "tests/requests"];

/// What cargo gives to a program that it runs.
const CARGO_ENV_PREFIXES: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The version that writes entities as they are here.
const SEA_ORM_CLI_VERSION: &str = "2.0";

/// Types whose columns and JSON are the same on SQLite and PostgreSQL.
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

/// The fields that say whose they are: a user's, or a group's.
const OWNER_FIELDS: [&str; 2] = ["user:references", "chat_group:references:group_id"];

/// What is asked of the generators, if anything.
#[must_use]
pub fn generator_args(args: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    // The part of Loco's is not to do this again.
    if env::var_os(CHILD_ENV).is_some() {
        return None;
    }
    let args: Option<Vec<String>> = args.skip(1).map(|arg| arg.into_string().ok()).collect();
    args.filter(|args| matches!(args.first().map(String::as_str), Some("generate" | "g")))
}

/// Generates, and says what to do with it.
///
/// # Errors
/// What must be there first, or is not known to the generators.
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
    let before: HashSet<_> = source_files(&UNPACKED_FOLDERS).into_iter().collect();
    let mut part = Command::new(current_exe()?);
    part.args(&args).env(CHILD_ENV, "1");
    // Loco writes the entities as part of a warning: where none is logged, none are written.
    part.env("LOG_LEVEL", "warn").env_remove("RUST_LOG");
    for (name, _) in env::vars_os() {
        let is_of_cargo = |name: &str| {
            CARGO_ENV_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        if name.to_str().is_some_and(is_of_cargo) {
            part.env_remove(&name);
        }
    }
    if !part.status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    if is_help {
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_new = false;
    for bundle in source_files(&BUNDLE_FOLDERS) {
        is_new |= unpack_bundle(&bundle, &before)?;
    }
    if !is_new && matches!(kind.as_str(), "scaffold" | "model") {
        return Err(Error::Message(
            "there is one of this name already, which stays as it is; `cargo loco generate migration` \
             makes another column"
                .to_owned(),
        ));
    }
    format_all()?;
    Ok(ExitCode::SUCCESS)
}

/// Fields are what has a colon in it: `title:string!`.
fn field_args(args: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let given = args.iter().skip(2).filter(|arg| !arg.starts_with('-'));
    given.filter_map(|arg| arg.split_once(':'))
}

/// What Loco would take, and the templates do not.
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
        let says_whose = OWNER_FIELDS.contains(&field.as_str());
        if says_whose && is_public {
            return Err(Error::Message(format!(
                "`{field}` says whose they are, and `--no-auth` that they are everybody's"
            )));
        }
        if !says_whose && ["user_id", "group_id"].contains(&column.as_str()) {
            return Err(Error::Message(format!(
                "`{field}`: the column `{column}` says whose they are, as `{}` or `{}` alone",
                OWNER_FIELDS[0], OWNER_FIELDS[1]
            )));
        }
        check_enum_values(&field, spec)?;
        let word = spec.split(':').next().unwrap_or_default();
        let word = word.trim_end_matches(['!', '^', '?']);
        if word != "references" && !COLUMN_TYPES.contains(&word) {
            return Err(Error::Message(format!(
                "`{field}`: `{word}` is not among the types that are the same on SQLite and \
                 PostgreSQL: {}, references",
                COLUMN_TYPES.join(", ")
            )));
        }
    }
    Ok(())
}

/// Each value of an enum is the name of a variant, too.
fn check_enum_values(field: &str, spec: &str) -> Result<()> {
    let Some(values) = spec
        .split_once(':')
        .filter(|(word, _)| word.starts_with("enum"))
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
                "`{field}`: `{value}` is no value of an enum; one is of letters, digits, `_` and `-`, \
                 and begins with a letter"
            )));
        }
    }
    Ok(())
}

/// What nobody says otherwise of belongs to the user who makes it.
fn add_default_owner(args: &mut Vec<String>) -> Result<()> {
    let is_public = args.iter().any(|arg| arg == "--no-auth");
    let has_owner = args.iter().any(|arg| OWNER_FIELDS.contains(&arg.as_str()));
    // Without a name it would be taken for one.
    let has_name = args
        .iter()
        .skip(2)
        .any(|arg| !arg.starts_with('-') && !arg.contains(':'));
    if is_public || has_owner || !has_name {
        return Ok(());
    }
    args.push(OWNER_FIELDS[0].to_owned());
    print_line(
        "Added `user:references`: each user has some of their own. `chat_group:references:group_id` \
         makes them a group's instead, and `--no-auth` everybody's.",
    )
}

fn check_sea_orm_cli() -> Result<()> {
    let asked = Command::new("sea-orm-cli")
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    let told = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    if told.is_ok_and(|told| told.contains(&format!(" {SEA_ORM_CLI_VERSION}."))) {
        return Ok(());
    }
    Err(Error::Message(format!(
        "sea-orm-cli {SEA_ORM_CLI_VERSION} is needed, which writes the entities; `bin/setup` installs it"
    )))
}

/// The source files in some folders.
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

/// Takes a file apart, if it has others in it, and says whether it has. What was there `before` stays as
/// it is.
fn unpack_bundle(bundle: &Path, before: &HashSet<PathBuf>) -> Result<bool> {
    let mark = format!("\n{FILE_SEPARATOR}");
    let text = fs::read_to_string(bundle)?;
    let mut files = text.split(mark.as_str());
    let own = files.next().unwrap_or_default();
    let mut is_bundle = false;
    for file in files {
        is_bundle = true;
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        let path = PathBuf::from(name.trim());
        if before.contains(&path) {
            print_line(&format!("skipped (exists): \"{}\"", path.display()))?;
        } else {
            fs::write(&path, content)?;
            print_line(&format!("added: \"{}\"", path.display()))?;
        }
        fs::write(bundle, format!("{own}\n"))?;
    }
    Ok(is_bundle)
}

fn format_all() -> Result<()> {
    let formatted = Command::new("cargo").args(["fmt", "--all"]).status();
    if !formatted.is_ok_and(|status| status.success()) {
        print_line("`cargo fmt` did not go well: what was generated is not formatted.")?;
    }
    print_line("Try it: `cargo nextest run`, or `cargo test`. `git status` shows what was made.")
}

fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
