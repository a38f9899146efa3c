//! The command line: `cargo loco start`, `cargo loco task …`, `cargo loco generate …`.
//!
//! An application on top of Salam calls [`run`] with its own hooks, so that it has the same commands with the same
//! protections.

mod db;
mod doctor;
mod explain;
#[cfg(debug_assertions)] // As in Loco: release builds have no generators.
mod generate;
mod health;
mod overview;
mod start;

use std::{
    env::args_os,
    ffi::OsString,
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use loco_rs::app::Hooks;
use migration::MigratorTrait;

use self::{
    db::DbCommand, doctor::DoctorCommand, explain::explain_error, health::HealthCommand,
    start::StartCommand,
};
use crate::{database, logging, trace};

/// Runs the command that the arguments of the process name, and returns the exit code. Prints errors on standard
/// error.
///
/// Call it first in `main`, while the process has a single thread: it sets the variables of `.env`.
#[must_use]
pub fn run<A: Hooks, M: MigratorTrait>() -> ExitCode {
    // The environment may only be changed while there is a single thread, so this comes before the
    // runtime starts.
    match dotenvy::dotenv() {
        Ok(_) => {}
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        // The error omits the faulty line, which may contain a secret.
        Err(dotenvy::Error::LineParse(_, position)) => {
            return exit_with_error(&format!(
                ".env: a line cannot be parsed, at its character {position}; write each line as \
                 NAME=value"
            ));
        }
        Err(error) => return exit_with_error(&format!(".env: {error}")),
    }
    #[cfg(debug_assertions)]
    if let Some(args) = generate::generator_args(args_os()) {
        return generate::run::<A, M>(args)
            .unwrap_or_else(|error| exit_with_error(&explain_error(&error)));
    }
    if let Some(text) = overview::requested_text(args_os()) {
        return match write!(stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if command_args("start", args_os()).is_none() && command_args("s", args_os()).is_none() {
        // Standard output has only the output of the task.
        logging::use_standard_error();
    }
    let runtime = match build_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return exit_with_error(&format!("the runtime did not start: {error}")),
    };
    database::track_pools();
    let result = runtime.block_on(async {
        ignore_file_size_signal();
        let result = run_command::<A, M>().await;
        database::close_all_pools().await;
        trace::flush_and_close().await;
        result
    });
    logging::flush_and_close();
    result.unwrap_or_else(|error| exit_with_error(&explain_error(&error)))
}

/// The number of tasks after which a thread of the runtime takes a task from the queue of all threads.
///
/// Tasks that wait for the database come from that queue. With tokio's own choice, about 0.2 ms of work, a message waits
/// for its steps in the database while thousands of clients connect: 252 ms instead of 99 ms (p99 of `bin/bench --only
/// storm`). A value of 1 starves the other tasks.
const GLOBAL_QUEUE_INTERVAL: u32 = 4;

fn build_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(GLOBAL_QUEUE_INTERVAL)
        .build()
}

/// Runs the command: `start`, `doctor`, `health` and `db` of this program, or a command of Loco.
async fn run_command<A: Hooks, M: MigratorTrait>() -> loco_rs::Result<ExitCode> {
    if let Some(args) = command_args("doctor", args_os()) {
        return DoctorCommand::parse_from(args).run().await;
    }
    if let Some(args) = command_args("health", args_os()) {
        return HealthCommand::parse_from(args).run(&mut stdout()).await;
    }
    if let Some(args) = command_args("start", args_os()).or_else(|| command_args("s", args_os())) {
        StartCommand::parse_from(args).run::<A, M>().await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(args) = command_args("db", args_os()) {
        DbCommand::parse_from(args).run::<A, M>().await?;
        return Ok(ExitCode::SUCCESS);
    }
    loco_rs::cli::main::<A, M>().await?;
    Ok(ExitCode::SUCCESS)
}

/// Ignores SIGXFSZ. A write beyond the limit of a file's size (`ulimit -f`) then fails, as on a
/// full disk.
///
/// By default the system would end the process.
fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        const SIGXFSZ: i32 = 25;
        // The handler stays installed when the stream of signals is dropped.
        if let Err(error) = signal(SignalKind::from_raw(SIGXFSZ)) {
            let _ = writeln!(
                std::io::stderr(),
                "no handler for SIGXFSZ, so the file size limit ends the process: {error}"
            );
        }
    }
}

/// Returns the arguments without the name of a command, if the arguments call this command.
fn command_args(command: &str, args: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut args: Vec<OsString> = args.collect();
    let mut index = 1;
    while let Some(arg) = args.get(index).and_then(|arg| arg.to_str()) {
        match arg {
            arg if arg == command => {
                args.remove(index);
                return Some(args);
            }
            "-e" | "--environment" => index += 2,
            option if option.starts_with('-') => index += 1,
            _ => return None,
        }
    }
    None
}

fn exit_with_error(text: &str) -> ExitCode {
    for line in text.lines() {
        // If standard error is closed, there is no other way to report the error.
        let _ = writeln!(std::io::stderr(), "error: {line}");
    }
    ExitCode::FAILURE
}
