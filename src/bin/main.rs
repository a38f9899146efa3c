//! The command line: `cargo loco start`, `cargo loco task …`, `cargo loco generate …`.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use loco_rs::cli;
use migration::Migrator;
use salam::app::App;
use sea_orm::DbErr;

/// Gives memory back: each login takes 19 MiB for some milliseconds, on whichever thread is free,
/// and the system's allocator would keep that much for every one of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before the runtime has threads: the environment may be changed by a single one only.
    match dotenvy::dotenv() {
        Ok(_) => {}
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return fail(&format!(".env: {error}")),
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime did not start: {error}")),
    };
    match runtime.block_on(cli::main::<App, Migrator>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&explain(&error)),
    }
}

/// The error as a person wants to read it.
fn explain(error: &loco_rs::Error) -> String {
    use std::error::Error;
    // The template engine of the configuration begins its errors with the word already.
    let mut text = error.to_string().trim_start_matches("error: ").to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let hint = match error {
        loco_rs::Error::DB(DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) => {
            "; is the database of DATABASE_URL there, and reachable?"
        }
        _ if text.starts_with("no configuration file") => {
            "; run this in the project's folder, with LOCO_ENV development, test or production"
        }
        _ => "",
    };
    text + hint
}

fn fail(text: &str) -> ExitCode {
    // Nothing is left to do if standard error is closed too.
    let _ = writeln!(std::io::stderr(), "error: {text}");
    ExitCode::FAILURE
}
