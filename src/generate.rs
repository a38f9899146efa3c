//! `cargo loco generate …`: Loco's generators, by the templates in `.loco-templates/`, and what they
//! leave to be done by hand.
//!
//! Loco's do their work in a process of their own, without the variables that cargo gives to what it
//! runs: the cargo that they start in turn would take those for a change of what half of the
//! dependencies are built by, and build them again, for minutes. A template writes one file; of ours
//! some have several in them, one after another, which are taken apart afterwards. At last all is
//! formatted.

use std::{
    env::{self, current_exe},
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use loco_rs::{Error, Result};

/// Set for the process that does Loco's part.
const PART: &str = "SALAM_GENERATES";

/// Begins the line before the content of another file.
const ANOTHER_FILE: &str = "// ==> ";

/// Where generated files are that have others in them.
const BUNDLES: [&str; 2] = ["src/controllers", "tests/models"];

/// What cargo gives to a program that it runs.
const OF_CARGO: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The version that writes entities as they are here.
const SEA_ORM_CLI: &str = "2.0";

/// Types whose columns and JSON are the same on SQLite and PostgreSQL.
const TYPES: [&str; 16] = [
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

/// What is asked of the generators, if anything.
#[must_use]
pub fn asked(args: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    // The part of Loco's is not to do this again.
    if env::var_os(PART).is_some() {
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
        check_types(&args)?;
        expect_sea_orm_cli()?;
        if kind == "scaffold" {
            add_owner(&mut args)?;
        }
    }
    let mut part = Command::new(current_exe()?);
    part.args(&args).env(PART, "1");
    // Loco writes the entities as part of a warning: where none is logged, none are written.
    part.env("LOG_LEVEL", "warn").env_remove("RUST_LOG");
    for (name, _) in env::vars_os() {
        let is_of_cargo = |name: &str| OF_CARGO.iter().any(|prefix| name.starts_with(prefix));
        if name.to_str().is_some_and(is_of_cargo) {
            part.env_remove(&name);
        }
    }
    if !part.status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let written = unpack()?;
    for path in &written {
        say(&format!("added: \"{}\"", path.display()))?;
    }
    if !is_help {
        format_all()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fields are what has a colon in it: `title:string!`.
fn fields(args: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let given = args.iter().skip(3).filter(|arg| !arg.starts_with('-'));
    given.filter_map(|arg| arg.split_once(':'))
}

fn check_types(args: &[String]) -> Result<()> {
    for (name, spec) in fields(args) {
        let word = spec.split(':').next().unwrap_or_default();
        let word = word.trim_end_matches(['!', '^', '?']);
        if word != "references" && !TYPES.contains(&word) {
            return Err(Error::Message(format!(
                "`{name}:{spec}`: `{word}` is not among the types that are the same on SQLite and \
                 PostgreSQL: {}, references",
                TYPES.join(", ")
            )));
        }
    }
    Ok(())
}

/// What nobody says otherwise of belongs to the user who makes it.
fn add_owner(args: &mut Vec<String>) -> Result<()> {
    let is_public = args.iter().any(|arg| arg == "--no-auth");
    let has_owner = fields(args).any(|field| {
        field == ("user", "references") || field == ("chat_group", "references:group_id")
    });
    if is_public || has_owner {
        return Ok(());
    }
    args.push("user:references".to_owned());
    say(
        "Added `user:references`: each user has some of their own. `chat_group:references:group_id` \
         makes them a group's instead, and `--no-auth` everybody's.",
    )
}

fn expect_sea_orm_cli() -> Result<()> {
    let asked = Command::new("sea-orm-cli")
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    let told = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    if told.is_ok_and(|told| told.contains(&format!(" {SEA_ORM_CLI}."))) {
        return Ok(());
    }
    Err(Error::Message(format!(
        "sea-orm-cli {SEA_ORM_CLI} is needed, which writes the entities; `bin/setup` installs it"
    )))
}

/// Takes the files apart that have others in them.
fn unpack() -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for folder in BUNDLES {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                written.extend(unpack_file(&path)?);
            }
        }
    }
    Ok(written)
}

fn unpack_file(path: &Path) -> Result<Vec<PathBuf>> {
    let mark = format!("\n{ANOTHER_FILE}");
    let text = fs::read_to_string(path)?;
    let mut files = text.split(mark.as_str());
    let own = files.next().unwrap_or_default();
    let mut written = Vec::new();
    for file in files {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        fs::write(name.trim(), content)?;
        written.push(name.trim().into());
    }
    if !written.is_empty() {
        fs::write(path, format!("{own}\n"))?;
    }
    Ok(written)
}

fn format_all() -> Result<()> {
    let formatted = Command::new("cargo").args(["fmt", "--all"]).status();
    if !formatted.is_ok_and(|status| status.success()) {
        say("`cargo fmt` did not go well: what was generated is not formatted.")?;
    }
    say("Try it: `cargo nextest run`, or `cargo test`. `git diff` shows all that was changed.")
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
