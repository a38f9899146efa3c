//! The command line: `cargo loco start`, `cargo loco task …`, `cargo loco generate …`.

use std::{
    env::args_os,
    ffi::OsString,
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use loco_rs::{
    cli,
    environment::{Environment, resolve_from_env},
};
use migration::Migrator;
use salam::{
    app::App, database, db_command::DbCommand, doctor, explain::explain_error, logging, overview,
    start_command::StartCommand,
};

/// Gives memory back: each login takes 19 MiB for some milliseconds, on whichever thread is free,
/// and the system's allocator would keep that much for every one of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Look at the configuration, the database and Redis, and say what to mend.
///
/// Ends with 1 where something is to be mended. No secret is shown.
#[derive(Parser)]
#[command(name = "doctor", bin_name = "cargo loco doctor")]
struct DoctorCommand {
    /// Specify the environment [default: development]
    #[arg(short, long)]
    environment: Option<String>,
    /// Show the configuration instead, with its secrets hidden
    #[arg(short, long)]
    config: bool,
    /// The same as `--environment production`
    #[arg(short, long)]
    production: bool,
}

fn main() -> ExitCode {
    // Before the runtime has threads: the environment may be changed by a single one only.
    match dotenvy::dotenv() {
        Ok(_) => {}
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        // Without the line at fault, which may have a secret in it.
        Err(dotenvy::Error::LineParse(_, at)) => {
            return exit_with_error(&format!(
                ".env: a line cannot be read, at its character {at}"
            ));
        }
        Err(error) => return exit_with_error(&format!(".env: {error}")),
    }
    #[cfg(debug_assertions)]
    if let Some(asked) = salam::generate::generator_args(args_os()) {
        return salam::generate::run(asked)
            .unwrap_or_else(|error| exit_with_error(&explain_error(&error)));
    }
    if let Some(text) = overview::requested_text(args_os()) {
        return match write!(stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if command_args("start", args_os()).is_none() && command_args("s", args_os()).is_none() {
        // Standard output has the output of the task alone.
        logging::use_standard_error();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit_with_error(&format!("the runtime did not start: {error}")),
    };
    database::track_pools();
    let ended = runtime.block_on(async {
        ignore_file_size_signal();
        let ended = run_command().await;
        database::close_all_pools().await;
        ended
    });
    logging::flush_and_close();
    ended.unwrap_or_else(|error| exit_with_error(&explain_error(&error)))
}

/// Runs the command: `start`, `doctor` and `db` of this program, and all others of Loco.
async fn run_command() -> loco_rs::Result<ExitCode> {
    if let Some(args) = command_args("doctor", args_os()) {
        return run_doctor(DoctorCommand::parse_from(args)).await;
    }
    if let Some(args) = command_args("start", args_os()).or_else(|| command_args("s", args_os())) {
        StartCommand::parse_from(args).run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(args) = command_args("db", args_os()) {
        DbCommand::parse_from(args).run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    cli::main::<App, Migrator>().await?;
    Ok(ExitCode::SUCCESS)
}

/// A write beyond the limit of a file's size (`ulimit -f`) fails, as on a full disk. By default the system would
/// end the process for it (SIGXFSZ).
fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        const SIGXFSZ: i32 = 25;
        // The handler stays when the stream of signals is dropped.
        if let Err(error) = signal(SignalKind::from_raw(SIGXFSZ)) {
            let _ = writeln!(
                std::io::stderr(),
                "the limit of a file's size ends the process: {error}"
            );
        }
    }
}

/// The arguments without the name of a command, if it is the one that was given.
fn command_args(command: &str, args: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut args: Vec<OsString> = args.collect();
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        match arg {
            arg if arg == command => {
                args.remove(at);
                return Some(args);
            }
            "-e" | "--environment" => at += 2,
            option if option.starts_with('-') => at += 1,
            _ => return None,
        }
    }
    None
}

async fn run_doctor(asked: DoctorCommand) -> loco_rs::Result<ExitCode> {
    let environment = match asked.environment {
        _ if asked.production => Environment::Production,
        Some(name) => name.into(),
        None => resolve_from_env().into(),
    };
    if asked.config {
        doctor::show_config(&environment, &mut stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if doctor::run_checks(&environment, &mut stdout()).await? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn exit_with_error(text: &str) -> ExitCode {
    for line in text.lines() {
        // Nothing is left to do if standard error is closed too.
        let _ = writeln!(std::io::stderr(), "error: {line}");
    }
    ExitCode::FAILURE
}
