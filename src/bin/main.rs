//! The program `salam-cli`, which `cargo loco` calls.

use std::process::ExitCode;

use migration::Migrator;
use salam::{app::App, cli};

/// The allocator, which returns memory to the system.
///
/// Each login takes 19 MiB for some milliseconds, on any free thread. The system's allocator would
/// keep that much for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run::<App, Migrator>()
}
