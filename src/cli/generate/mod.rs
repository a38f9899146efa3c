//! `cargo loco generate …`: Loco's generators with the templates in `.loco-templates/`, and the
//! steps that Loco leaves to a person.
//!
//! [`arguments`] refuses arguments before anything is written. Loco's generators then run in a child
//! process without the variables that cargo sets for programs that it runs. A cargo inside the child
//! would take these variables for a change of many dependencies, and rebuild the dependencies for
//! minutes.
//!
//! A template writes one file. Some templates here contain several files, one after another, which
//! this module unpacks afterwards. At the end, `cargo fmt` formats all files and `cargo build`
//! compiles them. The [`journal`] has the changes of each command, for `cargo loco generate undo`.

mod arguments;
mod journal;

use std::{
    collections::HashSet,
    env::{self, current_exe},
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use loco_rs::{
    Error, Result,
    app::Hooks,
    boot::create_context,
    environment::{Environment, resolve_from_env},
};
use migration::MigratorTrait;

use self::{
    arguments::{check_code, check_migration, check_table},
    journal::{Journal, JournalEntry, UndoPlan, read_sources, work_folder},
};
use crate::settings::is_production;

/// The variable that marks the child process, which runs Loco's generators.
const CHILD_ENV: &str = "SALAM_GENERATES";

/// The variables by which the templates read the arguments that Loco does not know: the columns of
/// unique indexes, separated by `;`, and whether each change of a row is an event.
const UNIQUE_ENV: &str = "SALAM_GENERATE_UNIQUE";
const EVENT_ENV: &str = "SALAM_GENERATE_EVENT";

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

/// The lines of the log that are shown when a generator fails.
const SHOWN_LOG_LINES: usize = 30;

/// The command that undoes the last command, also when the code does not compile.
const UNDO_COMMAND: &str = "bin/generate-undo";

/// A template that shows that the folder is a project with the templates of Salam.
const TEMPLATE: &str = ".loco-templates/scaffold/api/controller.t";

/// The option that leaves out the compilation of the generated code.
const NO_BUILD_OPTION: &str = "--no-build";

/// Returns the arguments if they call a generator.
#[must_use]
pub fn generator_args(args: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    // The child process leaves the command to Loco.
    if env::var_os(CHILD_ENV).is_some() {
        return None;
    }
    let args: Vec<OsString> = args.collect();
    let mut names = ["generate", "g"].into_iter();
    let called = names.find_map(|name| super::command_args(name, args.iter().cloned()))?;
    let rest = called.into_iter().skip(1);
    let rest: Option<Vec<String>> = rest.map(|arg| arg.into_string().ok()).collect();
    rest.map(|rest| [vec!["generate".to_owned()], rest].concat())
}

/// Generates code and prints the next steps, or undoes the last command.
///
/// # Errors
/// When a required program is missing, when an argument is not accepted, when the generated code does
/// not compile, or when a command cannot be undone.
pub fn run<A: Hooks, M: MigratorTrait>(mut args: Vec<String>) -> Result<ExitCode> {
    let is_built = !args.iter().any(|arg| arg == NO_BUILD_OPTION);
    args.retain(|arg| arg != NO_BUILD_OPTION);
    let kind = args.get(1).cloned().unwrap_or_default();
    let is_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !is_help {
        check_environment(&args)?;
    }
    if kind == "undo" {
        if is_help {
            return print_line(&format!(
                "Undo the last command of the generators: revert its migrations and its changes of \
                 files.\n\nUsage: {UNDO_COMMAND} [--force]\n\nOptions:\n  --force  Undo although \
                 files have changed since, and lose these changes"
            ))
            .map(|()| ExitCode::SUCCESS);
        }
        let is_forced = args.iter().any(|arg| arg == "--force");
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(undo::<A, M>(is_forced));
    }
    if is_help {
        return run_loco(&args, &[], None);
    }
    let mut variables = Vec::new();
    let mut loco_args = args.clone();
    match kind.as_str() {
        "scaffold" | "model" => {
            let table = check_table(&args)?;
            check_sea_orm_cli()?;
            if table.has_default_owner {
                print_line(
                    "Added `user:references`: each row belongs to a user. Use \
                     `chat_group:references:group_id` for rows of a group, or `--no-auth` for public rows.",
                )?;
            }
            variables.push((UNIQUE_ENV, table.unique_columns.join(";")));
            variables.push((EVENT_ENV, if table.is_event { "1" } else { "" }.to_owned()));
            loco_args = table.loco_args;
        }
        "migration" => check_migration(&args)?,
        "controller" | "task" | "worker" => check_code(&kind, &args)?,
        // Loco's other generators write files for deployment and data.
        _ => return run_loco(&args, &[], None),
    }
    generate(&args, &loco_args, &variables, is_built)
}

/// Checks that the generators run on the environment of development.
fn check_environment(args: &[String]) -> Result<()> {
    let has_option = args
        .iter()
        .any(|arg| arg.starts_with("-e") || arg.starts_with("--environment"));
    let environment: Environment = resolve_from_env().into();
    if has_option || is_production(&environment) {
        return Err(Error::Message(format!(
            "the generators change the code and the database of development; leave out -e and \
             LOCO_ENV, which is {environment}. Nothing was changed"
        )));
    }
    Ok(())
}

fn generate(
    args: &[String],
    loco_args: &[String],
    variables: &[(&str, String)],
    is_built: bool,
) -> Result<ExitCode> {
    if !Path::new(TEMPLATE).exists() {
        return Err(Error::Message(format!(
            "{TEMPLATE} does not exist; run the generators in the root of a project that has the \
             templates of Salam"
        )));
    }
    fs::create_dir_all(work_folder())?;
    let _lock = lock_journal()?;
    let before = read_sources()?;
    let existing: HashSet<_> = source_files(&UNPACKED_FOLDERS).into_iter().collect();
    let log = work_folder().join("log");
    print_line(if is_built {
        "Generating and compiling; this takes a minute or two…"
    } else {
        "Generating…"
    })?;
    // An interrupted command is in the journal too, so that it can be undone.
    Journal::begin(args.get(1..).unwrap_or_default().join(" "), &before)?;
    let status = run_loco(loco_args, variables, Some(File::create(&log)?))?;
    for bundle in source_files(&BUNDLE_FOLDERS) {
        if !before.contains_key(&bundle) {
            unpack_bundle(&bundle, &existing)?;
        }
    }
    format_all()?;
    let journal = Journal::load()?;
    if status != ExitCode::SUCCESS {
        print_error(&last_lines(&fs::read_to_string(&log)?))?;
        // Without an entry of this command, the undo would undo the command before.
        let remedy = match journal.new_entry() {
            Some(_) => format!("`{UNDO_COMMAND}` removes its files"),
            None => "It wrote no file, so there is nothing to undo".to_owned(),
        };
        return Err(Error::Message(format!(
            "the generator failed; {} has the whole output. {remedy}",
            log.display()
        )));
    }
    if is_built {
        let built = cargo_command("cargo").args(["build", "--quiet"]).output()?;
        if !built.status.success() {
            print_error(&String::from_utf8_lossy(&built.stderr))?;
            return Err(Error::Message(format!(
                "the generated code does not compile: see the errors above. Repair it, or remove it with \
                 `{UNDO_COMMAND}`"
            )));
        }
    }
    if let Some(entry) = journal.new_entry() {
        print_summary(entry, &fs::read_to_string(&log)?, is_built)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs Loco's generator in a child process. `log` receives the whole output, if it is given.
fn run_loco(args: &[String], variables: &[(&str, String)], log: Option<File>) -> Result<ExitCode> {
    let mut child = cargo_command(current_exe()?);
    child.args(args).env(CHILD_ENV, "1");
    child.envs(variables.iter().map(|(name, value)| (*name, value)));
    // Loco writes the entities only while it logs at level `warn` or lower.
    child.env("LOG_LEVEL", "warn").env_remove("RUST_LOG");
    if let Some(log) = log {
        child.stderr(log.try_clone()?).stdout(log);
    }
    Ok(if child.status()?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns a command without the variables that cargo sets for programs that it runs.
fn cargo_command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let is_set_by_cargo = |name: &str| {
            CARGO_ENV_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        if name.to_str().is_some_and(is_set_by_cargo) {
            command.env_remove(&name);
        }
    }
    command
}

/// Reverts the migrations and the changes of files of the last command.
async fn undo<A: Hooks, M: MigratorTrait>(is_forced: bool) -> Result<ExitCode> {
    fs::create_dir_all(work_folder())?;
    let _lock = lock_journal()?;
    let mut journal = Journal::load()?;
    let Some(entry) = journal.last() else {
        return Err(Error::Message(
            "the journal of the generators is empty: nothing was generated here, or all of it is undone"
                .to_owned(),
        ));
    };
    let UndoPlan {
        deletions,
        writes,
        conflicts,
    } = entry.plan_undo()?;
    if !conflicts.is_empty() && !is_forced {
        let files: Vec<_> = conflicts
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(Error::Message(format!(
            "these files have changed since `cargo loco generate {}`:\n{}\nNothing was undone. Save \
             your changes, then run `{UNDO_COMMAND} --force`, which loses them",
            entry.command,
            files.join("\n")
        )));
    }
    let copies = copy_files(writes.iter().map(|(path, _)| path).chain(&deletions))?;
    revert_migrations::<A, M>(&entry.migrations).await?;
    for (path, text) in &writes {
        fs::write(path, text)?;
    }
    for path in &deletions {
        fs::remove_file(path)?;
    }
    print_line(&format!(
        "Undone: cargo loco generate {}\n  deleted: {}\n  restored: {}\n  copies of these files: {}",
        entry.command,
        join_paths(deletions.iter().map(PathBuf::as_path)),
        join_paths(writes.iter().map(|(path, _)| path.as_path())),
        copies.display()
    ))?;
    journal.pop()?;
    Ok(ExitCode::SUCCESS)
}

/// Locks the journal, so that one generator at a time changes this project.
fn lock_journal() -> Result<File> {
    let lock = File::create(work_folder().join("lock"))?;
    if lock.try_lock().is_err() {
        return Err(Error::Message(
            "another generator runs in this project; wait until it has ended".to_owned(),
        ));
    }
    Ok(lock)
}

/// Copies files before they are changed. Returns the folder of the copies.
fn copy_files<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<PathBuf> {
    let time = chrono::Utc::now().format("%Y%m%dT%H%M%S%3f").to_string();
    let folder = work_folder().join("undone").join(time);
    for path in paths.filter(|path| path.exists()) {
        let copy = folder.join(path);
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(path, copy)?;
    }
    Ok(folder)
}

/// Reverts those of these migrations that ran on the development database.
async fn revert_migrations<A: Hooks, M: MigratorTrait>(migrations: &[String]) -> Result<()> {
    if migrations.is_empty() {
        return Ok(());
    }
    let environment: Environment = resolve_from_env().into();
    let config = A::load_config(&environment).await?;
    let ctx = create_context::<A>(&environment, config).await?;
    // In the order of `Migrator::migrations`, in which `down` reverts.
    let applied = M::get_applied_migrations(&ctx.db).await?;
    let is_own = |name: &str| migrations.iter().any(|own| own == name);
    let count = applied.iter().filter(|row| is_own(row.name())).count();
    if count == 0 {
        return Ok(());
    }
    let mut last = applied.iter().rev().take(count);
    if let Some(later) = last.find(|row| !is_own(row.name())) {
        return Err(Error::Message(format!(
            "the migration {} comes after those of this command; nothing was undone. Revert it \
             first with `cargo loco db down`",
            later.name()
        )));
    }
    M::down(&ctx.db, u32::try_from(count).ok()).await?;
    Ok(())
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

/// Unpacks the other files of a generated file. Files in `existing` are kept as they are.
fn unpack_bundle(bundle: &Path, existing: &HashSet<PathBuf>) -> Result<()> {
    let separator = format!("\n{FILE_SEPARATOR}");
    let text = fs::read_to_string(bundle)?;
    let mut files = text.split(separator.as_str());
    let own_content = files.next().unwrap_or_default();
    for file in files {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        let path = PathBuf::from(name.trim());
        let is_allowed = UNPACKED_FOLDERS
            .iter()
            .any(|folder| path.parent() == Some(Path::new(folder)));
        if !is_allowed {
            return Err(Error::Message(format!(
                "{}: the template writes the file {}, which is not in {}",
                bundle.display(),
                path.display(),
                UNPACKED_FOLDERS.join(" or ")
            )));
        }
        if !existing.contains(&path) {
            fs::write(&path, content)?;
        }
        fs::write(bundle, format!("{own_content}\n"))?;
    }
    Ok(())
}

fn format_all() -> Result<()> {
    let formatted = Command::new("cargo").args(["fmt", "--all"]).status();
    if !formatted.is_ok_and(|status| status.success()) {
        print_line("`cargo fmt` failed: the generated files are not formatted.")?;
    }
    Ok(())
}

/// Prints the files of a command, the messages of the templates, and the next steps.
fn print_summary(entry: &JournalEntry, log: &str, is_built: bool) -> Result<()> {
    print_line(&format!("  added: {}", join_paths(entry.created())))?;
    print_line(&format!("  changed: {}", join_paths(entry.changed())))?;
    for message in log.lines().filter_map(|line| line.strip_prefix("* ")) {
        // Loco also lists the templates.
        if !message.starts_with(".loco-templates") {
            print_line(&format!("  {message}"))?;
        }
    }
    for migration in entry.created().filter(|path| path.starts_with("migration")) {
        // Loco writes this macro where it cannot read the change from the name.
        if fs::read_to_string(migration)?.contains("todo!(") {
            print_line(&format!(
                "  {} is empty, because its name does not name a change: write `up` and `down` \
                 before the next start of the server",
                migration.display()
            ))?;
        }
    }
    let result = if is_built { "It compiles. " } else { "" };
    print_line(&format!(
        "{result}Test it with `cargo nextest run` or `cargo test`; undo it with `{UNDO_COMMAND}`."
    ))
}

fn join_paths<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    if paths.is_empty() {
        "no file".to_owned()
    } else {
        paths.join(", ")
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(SHOWN_LOG_LINES);
    lines.get(first..).unwrap_or_default().join("\n")
}

fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn print_error(text: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{}", text.trim_end())?;
    Ok(())
}
