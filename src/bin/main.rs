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
use salam::{app::App, doctor, explain::explain, logs};

/// Gives memory back: each login takes 19 MiB for some milliseconds, on whichever thread is free,
/// and the system's allocator would keep that much for every one of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Look at the configuration, the database and Redis, and say what to mend.
///
/// Ends with 1 where something is to be mended. No secret is shown.
#[derive(Parser)]
#[command(name = "doctor", bin_name = "cargo loco doctor")]
struct Doctor {
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
            return fail(&format!(
                ".env: a line cannot be read, at its character {at}"
            ));
        }
        Err(error) => return fail(&format!(".env: {error}")),
    }
    #[cfg(debug_assertions)]
    if let Some(asked) = salam::generate::asked(args_os()) {
        return salam::generate::run(asked).unwrap_or_else(|error| fail(&explain(&error)));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime did not start: {error}")),
    };
    let ended = match asked_of_doctor(args_os()) {
        Some(asked) => runtime.block_on(ask_doctor(Doctor::parse_from(asked))),
        None => {
            let done = runtime.block_on(cli::main::<App, Migrator>());
            done.map(|()| ExitCode::SUCCESS)
        }
    };
    logs::end();
    ended.unwrap_or_else(|error| fail(&explain(&error)))
}

/// What is asked of the doctor, if anything. Loco's command line, which knows one of its own, has all
/// the rest.
fn asked_of_doctor(args: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut args: Vec<OsString> = args.collect();
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        match arg {
            "doctor" => {
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

async fn ask_doctor(asked: Doctor) -> loco_rs::Result<ExitCode> {
    let environment = match asked.environment {
        _ if asked.production => Environment::Production,
        Some(name) => name.into(),
        None => resolve_from_env().into(),
    };
    if asked.config {
        doctor::show(&environment, &mut stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if doctor::examine(&environment, &mut stdout()).await? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn fail(text: &str) -> ExitCode {
    for line in text.lines() {
        // Nothing is left to do if standard error is closed too.
        let _ = writeln!(std::io::stderr(), "error: {line}");
    }
    ExitCode::FAILURE
}
